// What libraries of JavaScript make of our webhooks, and how they sign a partner's own.
// Argument: a file with what the test gives. Prints, as JSON, the names of the webhooks that each trusts, and its
// signatures.
'use strict';
const { readFileSync } = require('node:fs');
const libraries = {
  standardwebhooks: require('standardwebhooks').Webhook,
  svix: require('svix').Webhook,
};

function isTrusted(Webhook, { secret, headers, body }) {
  const raw = Buffer.from(body, 'base64');
  try {
    const read = new Webhook(secret).verify(raw, headers);
    // svix gives nothing
    return read === undefined || JSON.stringify(read) === JSON.stringify(JSON.parse(raw.toString()));
  } catch (error) {
    if (error.constructor.name !== 'WebhookVerificationError') throw error;
    return false;
  }
}

function signed(Webhook, { secret, body }, id) {
  const now = new Date();
  const signature = new Webhook(secret).sign(id, now, Buffer.from(body, 'base64').toString());
  return { id, timestamp: String(Math.floor(now.getTime() / 1000)), signature };
}

const given = JSON.parse(readFileSync(process.argv[2]));
console.log(JSON.stringify({
  zone_offset_minutes: new Date().getTimezoneOffset(),
  libraries: Object.fromEntries(Object.entries(libraries).map(([name, Webhook]) => [name, {
    trusted: given.webhooks.filter((each) => isTrusted(Webhook, each)).map((each) => each.name),
    signed: signed(Webhook, given.own, `of-${name}`),
  }])),
}));
