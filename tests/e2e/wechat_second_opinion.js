// Another library's client of WeChat Pay against our simulator, and its readings of what our codec reads, too.
// Argument: a file with what the test gives. Prints what came out, as JSON.
'use strict';
const { readFileSync } = require('node:fs');
const { Wechatpay, Rsa, Aes, Formatter } = require('wechatpay-axios-plugin');

async function main() {
  const given = JSON.parse(readFileSync(process.argv[2]));
  const platformKey = Rsa.from(`file://${given.public_key}`, Rsa.KEY_TYPE_PUBLIC);
  const merchantKey = Rsa.from(`file://${given.merchant_key}`, Rsa.KEY_TYPE_PRIVATE);
  const wxpay = new Wechatpay({
    mchid: given.merchant_id,
    serial: given.merchant_serial,
    privateKey: merchantKey,
    certs: { [given.public_key_id]: platformKey },
  });
  wxpay.client.v3.defaults.baseURL = given.url;
  wxpay.client.v3.defaults.headers.common['Wechatpay-Serial'] = given.public_key_id;
  // its answers are verified by itself, which throws
  const prepay = await wxpay.v3.pay.transactions.jsapi.post(given.order);
  const query = await wxpay.v3.pay.transactions.outTradeNo._out_trade_no_.get({
    params: { mchid: given.merchant_id },
    out_trade_no: given.order.out_trade_no,
  });
  const { headers, body } = given.notice;
  const sealed = JSON.parse(body).resource;
  const message = Formatter.response(headers['wechatpay-timestamp'], headers['wechatpay-nonce'], body);
  const bill = Formatter.castCsvBill(Buffer.from(given.bill, 'base64'));
  console.log(JSON.stringify({
    prepay: prepay.data,
    query: query.data,
    notice_verified: Rsa.verify(message, headers['wechatpay-signature'], platformKey),
    // as services do whose framework has parsed the body before they see it
    written_again_verified: Rsa.verify(
      Formatter.response(
        headers['wechatpay-timestamp'], headers['wechatpay-nonce'], JSON.stringify(JSON.parse(body)),
      ),
      headers['wechatpay-signature'],
      platformKey,
    ),
    notice: JSON.parse(Aes.AesGcm.decrypt(sealed.ciphertext, given.api_v3_key, sealed.nonce, sealed.associated_data)),
    pay_sign: Rsa.sign(Formatter.joinedByLineFeed(...given.pay_sign), merchantKey),
    bill: bill,
  }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
