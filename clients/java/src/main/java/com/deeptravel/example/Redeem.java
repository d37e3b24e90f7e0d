package com.deeptravel.example;

import com.deeptravel.client.DeepTravel;
import com.deeptravel.redemption.v1.RedeemRequest;
import com.deeptravel.redemption.v1.RedeemResponse;
import com.deeptravel.redemption.v1.RedemptionServiceGrpc;
import java.util.UUID;

/** A terminal: logs an operator in and redeems one entitlement of a QR. */
public final class Redeem {
  private Redeem() {}

  /**
   * Runs it.
   *
   * @param args address of the server, username, password, the terminal's device id, text of a QR
   */
  public static void main(String[] args) {
    try (DeepTravel client = DeepTravel.at(args[0]).plaintext().open()) {
      DeepTravel terminal = client.loggedInOperator(args[1], args[2], args[3]);
      // one scan is one request id: after a lost answer the same gets that answer
      RedeemRequest request =
          RedeemRequest.newBuilder()
              .setQrToken(args[4])
              .setFunctionCode("ferry")
              .setRequestId(UUID.randomUUID().toString())
              .build();
      RedeemResponse answer = terminal.call(RedemptionServiceGrpc.getRedeemMethod(), request);
      System.out.println(answer.getResult() + " " + answer.getExplanation().getEn());
    }
  }
}
