package com.deeptravel.example;

import com.deeptravel.client.CallException;
import com.deeptravel.client.DeepTravel;
import com.deeptravel.client.Results;
import com.deeptravel.common.v1.ErrorReason;
import com.deeptravel.ota.v1.ActivateTicketRequest;
import com.deeptravel.ota.v1.ActivateTicketResponse;
import com.deeptravel.ota.v1.BulkGenerateTicketsRequest;
import com.deeptravel.ota.v1.BulkGenerateTicketsResponse;
import com.deeptravel.ota.v1.ListTicketsRequest;
import com.deeptravel.ota.v1.ListTicketsResponse;
import com.deeptravel.ota.v1.OtaServiceGrpc;
import com.deeptravel.ota.v1.Reservation;
import com.deeptravel.ota.v1.ReserveInventoryRequest;
import com.deeptravel.ota.v1.StreamBatchTicketsRequest;
import com.deeptravel.ota.v1.StreamBatchTicketsResponse;
import com.deeptravel.tickets.v1.CustomerInfo;
import com.deeptravel.tickets.v1.CustomerType;
import com.deeptravel.tickets.v1.PaymentProof;
import com.deeptravel.tickets.v1.Ticket;

/**
 * A partner: reserves stock, makes a batch of it, reads its QR texts, activates the tickets that were
 * sold, lists them.
 */
public final class SellTickets {
  private static final int PRODUCT_ID = 106;
  private static final int QUANTITY = 5;
  private static final long PRICE_MINOR = 29_800;

  private SellTickets() {}

  /**
   * Runs it.
   *
   * @param args address of the server, and the partner's API key
   */
  public static void main(String[] args) {
    try (DeepTravel client = DeepTravel.at(args[0]).apiKey(args[1]).plaintext().open()) {
      Reservation reservation =
          client
              .call(
                  OtaServiceGrpc.getReserveInventoryMethod(),
                  ReserveInventoryRequest.newBuilder()
                      .setProductId(PRODUCT_ID)
                      .setQuantity(QUANTITY)
                      .build())
              .getReservation();
      System.out.println("reserved " + reservation.getReservationId());
      BulkGenerateTicketsResponse batch =
          client.call(
              OtaServiceGrpc.getBulkGenerateTicketsMethod(),
              BulkGenerateTicketsRequest.newBuilder()
                  .setProductId(PRODUCT_ID)
                  .setQuantity(QUANTITY)
                  .setDistributorId("JAVA")
                  .setReservationId(reservation.getReservationId())
                  .build());
      System.out.println("batch " + batch.getBatchId() + ": " + batch.getQuantity());
      printQrTexts(client, batch.getBatchId());
      activate(client, batch.getTickets(0).getTicketCode(), PRICE_MINOR);
      activate(client, batch.getTickets(1).getTicketCode(), 1);
      list(client, batch.getBatchId());
    }
  }

  private static void printQrTexts(DeepTravel client, String batchId) {
    StreamBatchTicketsRequest request =
        StreamBatchTicketsRequest.newBuilder().setBatchId(batchId).setWithQr(true).build();
    try (Results<StreamBatchTicketsResponse> tickets =
        client.stream(OtaServiceGrpc.getStreamBatchTicketsMethod(), request)) {
      for (StreamBatchTicketsResponse each : tickets) {
        System.out.println("QR " + each.getTicketCode() + " " + each.getEncryptedData());
      }
    }
  }

  private static void activate(DeepTravel client, String ticketCode, long paidMinor) {
    ActivateTicketRequest request =
        ActivateTicketRequest.newBuilder()
            .setTicketCode(ticketCode)
            .setCustomer(
                CustomerInfo.newBuilder().setName("张三").setType(CustomerType.CUSTOMER_TYPE_ADULT))
            .setPayment(
                PaymentProof.newBuilder()
                    .setReference("PAY-" + ticketCode)
                    .setAmountMinor(paidMinor)
                    .setCurrencyCode("CNY"))
            .build();
    try {
      ActivateTicketResponse sold =
          client.call(OtaServiceGrpc.getActivateTicketMethod(), request);
      System.out.println("activated " + ticketCode + " order " + sold.getOrderId());
    } catch (CallException error) {
      if (!error.is(ErrorReason.ERROR_REASON_PAYMENT_MISMATCH)) {
        throw error;
      }
      System.out.println(
          "refused " + ticketCode + " to be paid " + error.metadata().get("expected_minor"));
    }
  }

  private static void list(DeepTravel client, String batchId) {
    ListTicketsRequest request =
        ListTicketsRequest.newBuilder().setBatchId(batchId).setPageSize(2).build();
    for (Ticket each :
        client.pages(
            OtaServiceGrpc.getListTicketsMethod(), request, ListTicketsResponse::getTicketsList)) {
      System.out.println("listed " + each.getTicketCode() + " " + each.getStatus());
    }
  }
}
