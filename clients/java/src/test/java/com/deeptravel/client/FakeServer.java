package com.deeptravel.client;

import com.deeptravel.ota.v1.AcknowledgeEventsRequest;
import com.deeptravel.ota.v1.AcknowledgeEventsResponse;
import com.deeptravel.ota.v1.BulkGenerateTicketsRequest;
import com.deeptravel.ota.v1.BulkGenerateTicketsResponse;
import com.deeptravel.ota.v1.DownloadStatementRequest;
import com.deeptravel.ota.v1.DownloadStatementResponse;
import com.deeptravel.ota.v1.Event;
import com.deeptravel.ota.v1.ExportTicketsRequest;
import com.deeptravel.ota.v1.ExportTicketsResponse;
import com.deeptravel.ota.v1.ExportedTicket;
import com.deeptravel.ota.v1.GetInventoryRequest;
import com.deeptravel.ota.v1.GetInventoryResponse;
import com.deeptravel.ota.v1.ListEventsRequest;
import com.deeptravel.ota.v1.ListEventsResponse;
import com.deeptravel.ota.v1.ListTicketsRequest;
import com.deeptravel.ota.v1.ListTicketsResponse;
import com.deeptravel.ota.v1.OtaServiceGrpc;
import com.deeptravel.ota.v1.StreamBatchTicketsRequest;
import com.deeptravel.ota.v1.StreamBatchTicketsResponse;
import com.deeptravel.redemption.v1.DecryptQrRequest;
import com.deeptravel.redemption.v1.DecryptQrResponse;
import com.deeptravel.redemption.v1.OperatorLoginRequest;
import com.deeptravel.redemption.v1.OperatorLoginResponse;
import com.deeptravel.redemption.v1.RedemptionServiceGrpc;
import com.deeptravel.redemption.v1.RefreshTokenRequest;
import com.deeptravel.redemption.v1.RefreshTokenResponse;
import com.deeptravel.tickets.v1.Ticket;
import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;

/** Fails by a script, one status a call, and keeps what it was asked. */
final class FakeServer implements AutoCloseable {
  static final int FEW = 5;
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Context.Key<Metadata> HEADERS = Context.key("headers");

  final Deque<StatusRuntimeException> script = new ArrayDeque<>();
  final Deque<Integer> breaksAfter = new ArrayDeque<>();
  final List<Message> asked = Collections.synchronizedList(new ArrayList<>());
  final List<Metadata> headers = Collections.synchronizedList(new ArrayList<>());
  volatile String token = "first";
  volatile long acknowledged;
  volatile long newest = FEW;
  private final Server server;

  FakeServer() throws IOException {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(new Ota())
            .addService(new Redemption())
            .intercept(new KeepHeaders())
            .build()
            .start();
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  static StatusRuntimeException failure(Status.Code code, String reason, Double retrySeconds) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("so it is");
    if (!reason.isEmpty()) {
      status.addDetails(
          Any.pack(
              ErrorInfo.newBuilder()
                  .setReason(reason)
                  .setDomain("deeptravel")
                  .putMetadata("available", "3")
                  .build()));
    }
    if (retrySeconds != null) {
      com.google.protobuf.Duration delay =
          com.google.protobuf.Duration.newBuilder()
              .setSeconds((long) (double) retrySeconds)
              .setNanos((int) (retrySeconds % 1 * 1e9))
              .build();
      status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()));
    }
    return failure(code, status.build().toByteArray());
  }

  static StatusRuntimeException failure(Status.Code code, byte[] details) {
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, details);
    return code.toStatus().asRuntimeException(trailers);
  }

  private <A> void answer(Message request, StreamObserver<A> observer, A answer) {
    asked.add(request);
    headers.add(HEADERS.get());
    StatusRuntimeException failure = script.poll();
    if (failure != null) {
      observer.onError(failure);
      return;
    }
    observer.onNext(answer);
    observer.onCompleted();
  }

  private final class Ota extends OtaServiceGrpc.OtaServiceImplBase {
    @Override
    public void bulkGenerateTickets(
        BulkGenerateTicketsRequest request,
        StreamObserver<BulkGenerateTicketsResponse> observer) {
      answer(request, observer, BulkGenerateTicketsResponse.getDefaultInstance());
    }

    @Override
    public void getInventory(
        GetInventoryRequest request, StreamObserver<GetInventoryResponse> observer) {
      answer(request, observer, GetInventoryResponse.getDefaultInstance());
    }

    @Override
    public void listTickets(
        ListTicketsRequest request, StreamObserver<ListTicketsResponse> observer) {
      int page = request.getPageToken().isEmpty() ? 0 : Integer.parseInt(request.getPageToken());
      ListTicketsResponse.Builder answer = ListTicketsResponse.newBuilder();
      if (page != 1) { // a page may be empty
        answer.addTickets(Ticket.newBuilder().setTicketCode("T-" + page));
      }
      answer.setNextPageToken(page < 2 ? String.valueOf(page + 1) : "");
      answer(request, observer, answer.build());
    }

    @Override
    public void streamBatchTickets(
        StreamBatchTicketsRequest request,
        StreamObserver<StreamBatchTicketsResponse> observer) {
      asked.add(request);
      String after = request.getAfterTicketCode();
      int first = after.isEmpty() ? 0 : Integer.parseInt(after.substring(2)) + 1;
      for (int number = first; number < FEW; number++) {
        if (!breaksAfter.isEmpty() && number - first == breaksAfter.peek()) {
          breaksAfter.poll();
          observer.onError(Status.UNAVAILABLE.asRuntimeException());
          return;
        }
        observer.onNext(
            StreamBatchTicketsResponse.newBuilder().setTicketCode("T-" + number).build());
      }
      observer.onCompleted();
    }

    @Override
    public void exportTickets(
        ExportTicketsRequest request, StreamObserver<ExportTicketsResponse> observer) {
      asked.add(request);
      observer.onNext(ExportTicketsResponse.getDefaultInstance()); // nothing to go on after
      String after = request.getAfterTicketCode();
      int first = after.isEmpty() ? 0 : Integer.parseInt(after.substring(2)) + 1;
      for (int number = first; number < FEW; number++) {
        if (!breaksAfter.isEmpty() && number - first == breaksAfter.peek()) {
          breaksAfter.poll();
          observer.onError(Status.UNAVAILABLE.asRuntimeException());
          return;
        }
        String code = "T-" + number;
        observer.onNext(
            ExportTicketsResponse.newBuilder()
                .addTickets(ExportedTicket.newBuilder().setTicketCode(code))
                .setLastTicketCode(code)
                .build());
      }
      observer.onCompleted();
    }

    @Override
    public void downloadStatement(
        DownloadStatementRequest request, StreamObserver<DownloadStatementResponse> observer) {
      asked.add(request);
      for (int number = 0; number < FEW; number++) {
        if (!breaksAfter.isEmpty() && number == breaksAfter.peek()) {
          breaksAfter.poll();
          observer.onError(failure(Status.Code.UNAVAILABLE, "SERVER_BUSY", null));
          return;
        }
        observer.onNext(DownloadStatementResponse.getDefaultInstance());
      }
      observer.onCompleted();
    }

    @Override
    public void listEvents(
        ListEventsRequest request, StreamObserver<ListEventsResponse> observer) {
      long after = request.hasAfterCursor() ? request.getAfterCursor() : acknowledged;
      long last = Math.min(after + 2, newest);
      ListEventsResponse.Builder answer = ListEventsResponse.newBuilder().setCursor(last);
      for (long cursor = after + 1; cursor <= last; cursor++) {
        answer.addEvents(Event.newBuilder().setCursor(cursor));
      }
      answer(request, observer, answer.setNextPageToken(last < newest ? "more" : "").build());
    }

    @Override
    public void acknowledgeEvents(
        AcknowledgeEventsRequest request, StreamObserver<AcknowledgeEventsResponse> observer) {
      acknowledged = Math.max(acknowledged, request.getCursor());
      answer(
          request,
          observer,
          AcknowledgeEventsResponse.newBuilder().setCursor(acknowledged).build());
    }
  }

  private final class Redemption extends RedemptionServiceGrpc.RedemptionServiceImplBase {
    @Override
    public void operatorLogin(
        OperatorLoginRequest request, StreamObserver<OperatorLoginResponse> observer) {
      OperatorLoginResponse.Builder tokens = OperatorLoginResponse.newBuilder();
      answer(request, observer, tokens.setAccessToken("over").setRefreshToken("r").build());
    }

    @Override
    public void refreshToken(
        RefreshTokenRequest request, StreamObserver<RefreshTokenResponse> observer) {
      RefreshTokenResponse.Builder tokens = RefreshTokenResponse.newBuilder();
      answer(request, observer, tokens.setAccessToken(token).setRefreshToken("s").build());
    }

    @Override
    public void decryptQr(DecryptQrRequest request, StreamObserver<DecryptQrResponse> observer) {
      if (!("Bearer " + token).equals(HEADERS.get().get(AUTHORIZATION))) {
        script.push(failure(Status.Code.UNAUTHENTICATED, "UNAUTHENTICATED", null));
      }
      answer(request, observer, DecryptQrResponse.newBuilder().setTicketCode("T").build());
    }
  }

  private static final class KeepHeaders implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      Context context = Context.current().withValue(HEADERS, headers);
      return Contexts.interceptCall(context, call, headers, next);
    }
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
