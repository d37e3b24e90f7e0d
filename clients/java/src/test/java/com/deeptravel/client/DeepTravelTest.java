package com.deeptravel.client;

import static com.deeptravel.client.FakeServer.FEW;
import static com.deeptravel.client.FakeServer.failure;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.deeptravel.common.v1.ErrorReason;
import com.deeptravel.ota.v1.BulkGenerateTicketsRequest;
import com.deeptravel.ota.v1.DownloadStatementRequest;
import com.deeptravel.ota.v1.DownloadStatementResponse;
import com.deeptravel.ota.v1.Event;
import com.deeptravel.ota.v1.ExportTicketsRequest;
import com.deeptravel.ota.v1.ExportTicketsResponse;
import com.deeptravel.ota.v1.GetInventoryRequest;
import com.deeptravel.ota.v1.ListEventsRequest;
import com.deeptravel.ota.v1.ListTicketsRequest;
import com.deeptravel.ota.v1.ListTicketsResponse;
import com.deeptravel.ota.v1.OtaServiceGrpc;
import com.deeptravel.ota.v1.StreamBatchTicketsRequest;
import com.deeptravel.ota.v1.StreamBatchTicketsResponse;
import com.deeptravel.redemption.v1.DecryptQrRequest;
import com.deeptravel.redemption.v1.RedemptionServiceGrpc;
import com.deeptravel.redemption.v1.RefreshTokenRequest;
import com.deeptravel.tickets.v1.Ticket;
import com.google.protobuf.Message;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the client repeats, what not, and what it says of a failure. */
class DeepTravelTest {
  private static final RetryPolicy QUICK =
      new RetryPolicy(5, Duration.ofMillis(1), Duration.ofSeconds(10));
  private static final BulkGenerateTicketsRequest BATCH =
      BulkGenerateTicketsRequest.newBuilder().setProductId(106).setQuantity(3).build();
  private static final StreamBatchTicketsRequest STREAM =
      StreamBatchTicketsRequest.newBuilder().setBatchId("b").build();

  private FakeServer server;
  private DeepTravel client;

  @BeforeEach
  void start() throws IOException {
    server = new FakeServer();
    client = DeepTravel.at(server.address()).apiKey("key").plaintext().retry(QUICK).open();
  }

  @AfterEach
  void stop() {
    client.close();
    server.close();
  }

  private void fail(Status.Code code, String reason, Double retrySeconds) {
    server.script.add(failure(code, reason, retrySeconds));
  }

  private void makeBatch() {
    client.call(OtaServiceGrpc.getBulkGenerateTicketsMethod(), BATCH);
  }

  private void readInventory() {
    client.call(
        OtaServiceGrpc.getGetInventoryMethod(), GetInventoryRequest.getDefaultInstance());
  }

  private List<String> streamed() {
    List<String> codes = new ArrayList<>();
    try (Results<StreamBatchTicketsResponse> tickets =
        client.stream(OtaServiceGrpc.getStreamBatchTicketsMethod(), STREAM)) {
      tickets.forEachRemaining(each -> codes.add(each.getTicketCode()));
    }
    return codes;
  }

  @Test
  void aChangeIsRepeatedUnderItsRequestId() {
    fail(Status.Code.UNAVAILABLE, "", null);
    fail(Status.Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", 0.001);
    makeBatch();
    Set<String> ids = new HashSet<>();
    for (Message each : server.asked) {
      ids.add(((BulkGenerateTicketsRequest) each).getRequestId());
    }
    assertEquals(3, server.asked.size());
    assertEquals(1, ids.size());
    assertFalse(ids.contains(""));
  }

  @Test
  void aReadIsRepeated() {
    fail(Status.Code.UNAVAILABLE, "SHUTTING_DOWN", null);
    readInventory();
    assertEquals(2, server.asked.size());
  }

  @Test
  void aLogInIsNotRepeatedUnlessNothingWasDone() {
    fail(Status.Code.RESOURCE_EXHAUSTED, "SERVER_BUSY", 0.001);
    fail(Status.Code.UNAVAILABLE, "", null);
    assertThrows(CallException.class, () -> client.loggedInOperator("operator", "p", "T-1"));
    assertEquals(2, server.asked.size());
  }

  @Test
  void attemptsEnd() {
    for (int number = 0; number < 10; number++) {
      fail(Status.Code.UNAVAILABLE, "", null);
    }
    assertThrows(CallException.class, this::makeBatch);
    assertEquals(QUICK.attempts(), server.asked.size());
  }

  @Test
  void itIsTheReasonThatCounts() {
    for (String reason : List.of("LOGIN_LOCKED", "", "OF_A_NEWER_SERVER")) {
      server.asked.clear();
      fail(Status.Code.RESOURCE_EXHAUSTED, reason, null);
      CallException found = assertThrows(CallException.class, this::readInventory);
      assertEquals(reason, found.reason());
      assertEquals(1, server.asked.size());
    }
  }

  @Test
  void aRefusalSaysEverything() {
    fail(Status.Code.FAILED_PRECONDITION, "SOLD_OUT", null);
    CallException found = assertThrows(CallException.class, this::makeBatch);
    assertTrue(found.is(ErrorReason.ERROR_REASON_SOLD_OUT));
    assertEquals("3", found.metadata().get("available"));
    assertEquals(Status.Code.FAILED_PRECONDITION, found.code());
    assertFalse(found.requestId().isEmpty());
  }

  @Test
  void detailsThatCannotBeReadAreLeftOut() {
    byte[] broken = "\u00ff not a Status".getBytes(StandardCharsets.ISO_8859_1);
    server.script.add(failure(Status.Code.INTERNAL, broken));
    CallException found = assertThrows(CallException.class, this::readInventory);
    assertEquals("", found.reason());
    assertEquals(Status.Code.INTERNAL, found.code());
  }

  @Test
  void aLongWaitIsTheCallersDecision() {
    fail(Status.Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", 60.0);
    CallException found = assertThrows(CallException.class, this::readInventory);
    assertEquals(Optional.of(Duration.ofSeconds(60)), found.retryAfter());
    assertEquals(1, server.asked.size());
  }

  @Test
  void noPauseGoesPastTheDeadline() {
    fail(Status.Code.ABORTED, "CONFLICT", 5.0);
    GetInventoryRequest request = GetInventoryRequest.getDefaultInstance();
    Duration limit = Duration.ofSeconds(4);
    assertThrows(
        CallException.class,
        () -> client.call(OtaServiceGrpc.getGetInventoryMethod(), request, limit));
    assertEquals(1, server.asked.size());
  }

  @Test
  void pages() {
    List<String> codes = new ArrayList<>();
    for (Ticket each :
        client.pages(
            OtaServiceGrpc.getListTicketsMethod(),
            ListTicketsRequest.getDefaultInstance(),
            ListTicketsResponse::getTicketsList)) {
      codes.add(each.getTicketCode());
    }
    assertEquals(List.of("T-0", "T-2"), codes);
    assertEquals(3, server.asked.size());
  }

  @Test
  void aStreamGoesOnWhereItBroke() {
    server.breaksAfter.addAll(List.of(2, 1));
    assertEquals(List.of("T-0", "T-1", "T-2", "T-3", "T-4"), streamed());
    List<String> after = new ArrayList<>();
    for (Message each : server.asked) {
      after.add(((StreamBatchTicketsRequest) each).getAfterTicketCode());
    }
    assertEquals(List.of("", "T-1", "T-2"), after);
  }

  @Test
  void aStreamThatGetsNowhereEnds() {
    for (int number = 0; number < 20; number++) {
      server.breaksAfter.add(0);
    }
    assertThrows(CallException.class, this::streamed);
    assertEquals(QUICK.attempts(), server.asked.size());
  }

  @Test
  void aStreamIsLeft() {
    try (Results<StreamBatchTicketsResponse> tickets =
        client.stream(OtaServiceGrpc.getStreamBatchTicketsMethod(), STREAM)) {
      assertEquals("T-0", tickets.next().getTicketCode());
    }
    assertEquals(FEW, streamed().size());
  }

  @Test
  void anAccessTokenThatIsOverIsRenewed() {
    DeepTravel terminal = client.loggedInOperator("operator", "password", "T-1");
    DecryptQrRequest look = DecryptQrRequest.newBuilder().setEncryptedData("qr").build();
    for (String token : List.of("first", "second")) {
      server.token = token;
      for (int number = 0; number < 2; number++) {
        String code =
            terminal.call(RedemptionServiceGrpc.getDecryptQrMethod(), look).getTicketCode();
        assertEquals("T", code);
      }
    }
    long renewals = server.asked.stream().filter(RefreshTokenRequest.class::isInstance).count();
    assertEquals(2, renewals);
  }

  @Test
  void anExportGoesOnWhereItBroke() {
    server.breaksAfter.addAll(List.of(2, 1, 0));
    List<String> codes = new ArrayList<>();
    try (Results<ExportTicketsResponse> parts =
        client.stream(
            OtaServiceGrpc.getExportTicketsMethod(), ExportTicketsRequest.getDefaultInstance())) {
      parts.forEachRemaining(
          part -> part.getTicketsList().forEach(each -> codes.add(each.getTicketCode())));
    }
    assertEquals(List.of("T-0", "T-1", "T-2", "T-3", "T-4"), codes);
    List<String> after = new ArrayList<>();
    server.asked.forEach(each -> after.add(((ExportTicketsRequest) each).getAfterTicketCode()));
    assertEquals(List.of("", "T-1", "T-2", "T-2"), after);
  }

  private int downloaded(Duration timeout) {
    int parts = 0;
    try (Results<DownloadStatementResponse> file =
        client.stream(
            OtaServiceGrpc.getDownloadStatementMethod(),
            DownloadStatementRequest.getDefaultInstance(),
            timeout)) {
      while (file.hasNext()) {
        file.next();
        parts++;
      }
    }
    return parts;
  }

  @Test
  void whatCannotGoOnIsOpenedAgainOnlyBeforeAnythingCame() {
    server.breaksAfter.add(0);
    assertEquals(FEW, downloaded(Duration.ofSeconds(30)));
    assertEquals(2, server.asked.size());
    server.breaksAfter.add(2);
    CallException found = assertThrows(CallException.class, () -> downloaded(null));
    assertEquals("SERVER_BUSY", found.reason());
    assertEquals(3, server.asked.size());
  }

  @Test
  void aStreamHasTheDeadlineThatItIsGiven() {
    CallException found =
        assertThrows(CallException.class, () -> downloaded(Duration.ofNanos(1)));
    assertEquals(Status.Code.DEADLINE_EXCEEDED, found.code());
  }

  @Test
  void eventsAreFollowedAndAcknowledged() throws InterruptedException {
    List<Long> seen = new ArrayList<>();
    ListEventsRequest request = ListEventsRequest.newBuilder().setPageSize(2).build();
    Consumer<Event> failing =
        event -> {
          if (event.getCursor() == 4) {
            throw new IllegalStateException("not handled");
          }
          seen.add(event.getCursor());
        };
    assertThrows(
        IllegalStateException.class, () -> client.followEvents(request, null, failing));
    assertEquals(2, server.acknowledged);
    client.followEvents(request, null, event -> seen.add(event.getCursor()));
    assertEquals(List.of(1L, 2L, 3L, 3L, 4L, 5L), seen);
    assertEquals(FEW, server.acknowledged);
  }

  @Test
  void theChannelShowsTheCredentialsToOtherStubs() {
    OtaServiceGrpc.newBlockingStub(client.channel())
        .getInventory(GetInventoryRequest.getDefaultInstance());
    assertEquals(
        "key",
        server
            .headers
            .get(0)
            .get(Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER)));
  }
}
