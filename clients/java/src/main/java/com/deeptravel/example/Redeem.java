package com.deeptravel.example;

import com.deeptravel.redemption.v1.OperatorLoginRequest;
import com.deeptravel.redemption.v1.RedeemRequest;
import com.deeptravel.redemption.v1.RedeemResponse;
import com.deeptravel.redemption.v1.RedemptionServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.util.UUID;

/** A terminal: logs an operator in and redeems one entitlement of a QR. */
public final class Redeem {
  private Redeem() {}

  /** Takes a username, a password, the terminal's device id and the text of a QR. */
  public static void main(String[] args) {
    String username = args[0];
    String password = args[1];
    String terminal = args[2];
    String qr = args[3];
    ManagedChannel channel =
        ManagedChannelBuilder.forAddress("127.0.0.1", port()).usePlaintext().build();
    try {
      String token =
          RedemptionServiceGrpc.newBlockingStub(channel)
              .operatorLogin(
                  OperatorLoginRequest.newBuilder()
                      .setUsername(username)
                      .setPassword(password)
                      .setTerminalDeviceId(terminal)
                      .build())
              .getAccessToken();
      String scanId = UUID.randomUUID().toString();
      System.out.println(redeem(channel, token, qr, scanId));
    } finally {
      channel.shutdownNow();
    }
  }

  /** Redeems the ferry once: a repeat with the same scanId, after a lost answer, gets that answer. */
  static RedeemResponse redeem(ManagedChannel channel, String token, String qr, String scanId) {
    Metadata headers = new Metadata();
    headers.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    return RedemptionServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
        .redeem(RedeemRequest.newBuilder()
            .setQrToken(qr).setFunctionCode("ferry").setRequestId(scanId).build());
  }

  private static int port() {
    return Integer.parseInt(System.getenv().getOrDefault("DEEPTRAVEL_GRPC_PORT", "50051"));
  }
}
