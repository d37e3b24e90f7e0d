package com.deeptravel.client;

import com.deeptravel.ota.v1.AcknowledgeEventsRequest;
import com.deeptravel.ota.v1.Event;
import com.deeptravel.ota.v1.ListEventsRequest;
import com.deeptravel.ota.v1.ListEventsResponse;
import com.deeptravel.ota.v1.OtaServiceGrpc;
import com.deeptravel.redemption.v1.OperatorLoginRequest;
import com.deeptravel.redemption.v1.OperatorLoginResponse;
import com.deeptravel.redemption.v1.RedemptionServiceGrpc;
import com.deeptravel.redemption.v1.RefreshTokenRequest;
import com.deeptravel.redemption.v1.RefreshTokenResponse;
import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * A client of one caller; threads may share it.
 *
 * <p>It calls the methods of the generated services, which their {@code get…Method} name:
 *
 * <pre>{@code
 * try (DeepTravel client = DeepTravel.at("tickets.example.com:443").apiKey(key).open()) {
 *   BulkGenerateTicketsResponse batch =
 *       client.call(OtaServiceGrpc.getBulkGenerateTicketsMethod(), request);
 * }
 * }</pre>
 *
 * <p>Every call has a deadline, every change a request id, and what failed for a moment is called
 * again where that is safe. Every method throws {@link CallException}.
 */
public final class DeepTravel implements AutoCloseable {
  private static final Metadata.Key<String> API_KEY = key("x-api-key");
  private static final Metadata.Key<String> AUTHORIZATION = key("authorization");
  private static final Duration CALL = Duration.ofSeconds(30);

  private final ManagedChannel channel;
  private final Builder settings;
  private final Login login;
  private volatile Shown shown;

  /** What calls show, and the channel that shows it. */
  private record Shown(Channel channel, String refreshToken) {}

  /** Makes new tokens out of a refresh token. */
  private interface Login {
    Shown renew(String refreshToken);
  }

  private DeepTravel(ManagedChannel channel, Builder settings, Shown shown, Login login) {
    this.channel = channel;
    this.settings = settings;
    this.shown = shown;
    this.login = login;
  }

  /**
   * Begins a client.
   *
   * @param address host and port of gRPC
   * @return its settings
   */
  public static Builder at(String address) {
    return new Builder(address);
  }

  /**
   * Calls a method that gives one answer.
   *
   * @param method of a generated service, e.g. {@code OtaServiceGrpc.getGetBatchMethod()}
   * @param request a new request id is put into it if it takes one and has none
   * @param <Q> the class of the request
   * @param <A> the class of the answer
   * @return the answer
   */
  public <Q extends Message, A extends Message> A call(
      MethodDescriptor<Q, A> method, Q request) {
    return call(method, request, settings.timeout);
  }

  /**
   * Calls a method that gives one answer.
   *
   * @param method of a generated service
   * @param request a new request id is put into it if it takes one and has none
   * @param timeout for everything, repeats and pauses included
   * @param <Q> the class of the request
   * @param <A> the class of the answer
   * @return the answer
   */
  public <Q extends Message, A extends Message> A call(
      MethodDescriptor<Q, A> method, Q request, Duration timeout) {
    Rpc rpc = new Rpc(method);
    Q asked = rpc.identified(request);
    Retries retries = new Retries(settings.retry, rpc.isSafe(), timeout);
    boolean renewed = false;
    while (true) {
      Shown mine = shown;
      try {
        return ClientCalls.blockingUnaryCall(mine.channel, method, options(retries), asked);
      } catch (StatusRuntimeException error) {
        CallException found = new CallException(rpc.name(), error, rpc.requestId(asked));
        if (!renewed && renew(found, mine)) {
          renewed = true;
        } else {
          retries.pauseOrThrow(found);
        }
      }
    }
  }

  /**
   * All items of a list, page after page, as they are asked for.
   *
   * @param method one whose request has a {@code page_token}
   * @param request for the first page
   * @param items of an answer, e.g. {@code ListTicketsResponse::getTicketsList}
   * @param <Q> the class of the request
   * @param <A> the class of the answer
   * @param <T> the class of the items
   * @return the items; each iteration begins at the first page
   */
  public <Q extends Message, A extends Message, T> Iterable<T> pages(
      MethodDescriptor<Q, A> method, Q request, Function<A, ? extends Iterable<T>> items) {
    return pages(method, request, items, settings.timeout);
  }

  /**
   * All items of a list, page after page, as they are asked for.
   *
   * @param method one whose request has a {@code page_token}
   * @param request for the first page
   * @param items of an answer, e.g. {@code ListTicketsResponse::getTicketsList}
   * @param timeout of each page
   * @param <Q> the class of the request
   * @param <A> the class of the answer
   * @param <T> the class of the items
   * @return the items; each iteration begins at the first page
   */
  public <Q extends Message, A extends Message, T> Iterable<T> pages(
      MethodDescriptor<Q, A> method,
      Q request,
      Function<A, ? extends Iterable<T>> items,
      Duration timeout) {
    Rpc rpc = new Rpc(method);
    return () ->
        new Iterator<T>() {
          private Q next = request;
          private Iterator<T> page = java.util.Collections.emptyIterator();

          @Override
          public boolean hasNext() {
            while (!page.hasNext() && next != null) {
              A answer = call(method, next, timeout);
              page = items.apply(answer).iterator();
              next = rpc.next(next, answer);
            }
            return page.hasNext();
          }

          @Override
          public T next() {
            if (!hasNext()) {
              throw new NoSuchElementException();
            }
            return page.next();
          }
        };
  }

  /**
   * What a method sends until its stream ends, without a deadline. If it breaks it is opened again
   * after what came last, where the method can go on; where it cannot, only before anything came.
   *
   * @param method one that answers with a stream
   * @param request for the stream
   * @param <Q> the class of the request
   * @param <A> the class of the answers
   * @return the answers; close it if you leave before its end
   */
  public <Q extends Message, A extends Message> Results<A> stream(
      MethodDescriptor<Q, A> method, Q request) {
    return new Stream<>(method, request, null);
  }

  /**
   * The same with a deadline.
   *
   * @param method one that answers with a stream
   * @param request for the stream
   * @param timeout for all of it, what is opened again included
   * @param <Q> the class of the request
   * @param <A> the class of the answers
   * @return the answers; close it if you leave before its end
   */
  public <Q extends Message, A extends Message> Results<A> stream(
      MethodDescriptor<Q, A> method, Q request, Duration timeout) {
    return new Stream<>(method, request, timeout);
  }

  private final class Stream<Q extends Message, A extends Message> implements Results<A> {
    private final MethodDescriptor<Q, A> method;
    private final Rpc rpc;
    private final Retries retries;
    private Q request;
    private Context.CancellableContext context;
    private Iterator<A> answers;
    private Shown mine;
    private boolean renewed;
    private boolean came;

    Stream(MethodDescriptor<Q, A> method, Q request, Duration timeout) {
      this.method = method;
      this.rpc = new Rpc(method);
      this.request = rpc.identified(request);
      this.retries = new Retries(settings.retry, rpc.isSafe(), timeout);
      open();
    }

    private void open() {
      mine = shown;
      context = Context.current().withCancellation();
      Context before = context.attach();
      try {
        answers =
            ClientCalls.blockingServerStreamingCall(
                mine.channel, method, options(retries), request);
      } finally {
        context.detach(before);
      }
    }

    @Override
    public boolean hasNext() {
      while (true) {
        try {
          return answers.hasNext();
        } catch (StatusRuntimeException error) {
          CallException found = new CallException(rpc.name(), error, rpc.requestId(request));
          context.cancel(found);
          if (came && !rpc.canResume()) {
            throw found;
          }
          if (!renewed && renew(found, mine)) {
            renewed = true;
          } else {
            retries.pauseOrThrow(found);
          }
          open();
        }
      }
    }

    @Override
    public A next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      A answer = answers.next();
      came = true;
      retries.progressed();
      renewed = false;
      request = rpc.passed(request, answer);
      return answer;
    }

    @Override
    public void close() {
      context.cancel(null);
    }
  }

  /**
   * Handles a partner's events in order, on from what is acknowledged. A page of them is
   * acknowledged as soon as all are handled: after a crash those of the last page come again, with
   * the same {@code event_id}. With types, events of others are passed over, and acknowledged too.
   *
   * <p>If they were not read for longer than they are kept, the reason is EVENTS_REMOVED: read the
   * tickets anew, acknowledge its {@code oldest_cursor}, and begin again.
   *
   * @param request which types, and how many a page
   * @param pause how long to wait for more when there are none; null returns then
   * @param handler gets each event; what it throws ends this, and leaves the page unacknowledged
   * @throws InterruptedException while it waits for more
   */
  public void followEvents(ListEventsRequest request, Duration pause, Consumer<Event> handler)
      throws InterruptedException {
    ListEventsRequest next = request;
    while (true) {
      ListEventsResponse page = call(OtaServiceGrpc.getListEventsMethod(), next);
      page.getEventsList().forEach(handler);
      if (!next.hasAfterCursor() || next.getAfterCursor() != page.getCursor()) {
        call(
            OtaServiceGrpc.getAcknowledgeEventsMethod(),
            AcknowledgeEventsRequest.newBuilder().setCursor(page.getCursor()).build());
      }
      next = request.toBuilder().clearPageToken().setAfterCursor(page.getCursor()).build();
      if (!page.getNextPageToken().isEmpty()) {
        continue;
      }
      if (pause == null) {
        return;
      }
      Thread.sleep(pause.toMillis());
    }
  }

  /**
   * What shows this client's credentials, for the generated stubs: in the background with {@code
   * OtaServiceGrpc.newFutureStub(client.channel())}, or a stream both ways. Such calls have the
   * deadline that you give them, and are not repeated.
   *
   * @return it; new tokens of a renewed log-in are shown by the channel that is asked for next
   */
  public Channel channel() {
    return shown.channel;
  }

  /**
   * A client of another caller over the same channel.
   *
   * @param token of a log-in
   * @return it; closing either closes both
   */
  public DeepTravel withAccessToken(String token) {
    return new DeepTravel(channel, settings, shown(bearer(token), ""), null);
  }

  /**
   * A client of an operator at a terminal, over the same channel. When the access token is over, the
   * next call gets a new one.
   *
   * @param username the operator's
   * @param password the operator's
   * @param terminalDeviceId the terminal's
   * @return it; closing either closes both
   */
  public DeepTravel loggedInOperator(String username, String password, String terminalDeviceId) {
    DeepTravel anyone = new DeepTravel(channel, settings, shown(new Metadata(), ""), null);
    OperatorLoginRequest request =
        OperatorLoginRequest.newBuilder()
            .setUsername(username)
            .setPassword(password)
            .setTerminalDeviceId(terminalDeviceId)
            .build();
    OperatorLoginResponse tokens =
        anyone.call(RedemptionServiceGrpc.getOperatorLoginMethod(), request);
    Login renewal =
        refreshToken -> {
          RefreshTokenResponse fresh =
              anyone.call(
                  RedemptionServiceGrpc.getRefreshTokenMethod(),
                  RefreshTokenRequest.newBuilder().setRefreshToken(refreshToken).build());
          return shown(bearer(fresh.getAccessToken()), fresh.getRefreshToken());
        };
    Shown mine = shown(bearer(tokens.getAccessToken()), tokens.getRefreshToken());
    return new DeepTravel(channel, settings, mine, renewal);
  }

  /** Whether calls show something else now than what was refused. */
  private boolean renew(CallException error, Shown refused) {
    if (login == null || !error.reason().equals("UNAUTHENTICATED")) {
      return false;
    }
    synchronized (login) {
      if (shown == refused) {
        shown = login.renew(refused.refreshToken);
      }
    }
    return true;
  }

  private Shown shown(Metadata headers, String refreshToken) {
    Channel showing =
        ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    return new Shown(showing, refreshToken);
  }

  private static CallOptions options(Retries retries) {
    Long left = retries.remaining();
    return left == null
        ? CallOptions.DEFAULT
        : CallOptions.DEFAULT.withDeadlineAfter(left, TimeUnit.NANOSECONDS);
  }

  private static Metadata bearer(String token) {
    Metadata headers = new Metadata();
    headers.put(AUTHORIZATION, "Bearer " + token);
    return headers;
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  /** Closes the channel, which ends the calls of all clients that share it. */
  @Override
  public void close() {
    channel.shutdownNow();
  }

  /** The settings of a client. */
  public static final class Builder {
    private final String address;
    private final Metadata headers = new Metadata();
    private boolean plaintext;
    private File rootCertificates;
    private Duration timeout = CALL;
    private RetryPolicy retry = RetryPolicy.DEFAULT;

    private Builder(String address) {
      this.address = address;
    }

    /**
     * For an OTA partner.
     *
     * @param key the partner's
     * @return this
     */
    public Builder apiKey(String key) {
      headers.put(API_KEY, key);
      return this;
    }

    /**
     * For somebody who has logged in elsewhere.
     *
     * @param token the access token
     * @return this
     */
    public Builder accessToken(String token) {
      headers.put(AUTHORIZATION, "Bearer " + token);
      return this;
    }

    /**
     * Without TLS, for a server on this machine.
     *
     * @return this
     */
    public Builder plaintext() {
      plaintext = true;
      return this;
    }

    /**
     * Trusts this authority; those of Java if not given.
     *
     * @param pem its certificates
     * @return this
     */
    public Builder rootCertificates(File pem) {
      rootCertificates = pem;
      return this;
    }

    /**
     * How long a call may take, repeats and pauses included, where it does not say; 30 s if not
     * given.
     *
     * @param limit that
     * @return this
     */
    public Builder timeout(Duration limit) {
      timeout = limit;
      return this;
    }

    /**
     * How often a call is repeated.
     *
     * @param policy that
     * @return this
     */
    public Builder retry(RetryPolicy policy) {
      retry = policy;
      return this;
    }

    /**
     * The client; it connects when it is first used.
     *
     * @return it
     */
    public DeepTravel open() {
      if (headers.keys().size() > 1) {
        throw new IllegalArgumentException("an API key or an access token, not both");
      }
      // Deadlines and repeats are this client's, never those of a service config
      ManagedChannel channel =
          Grpc.newChannelBuilder(
                  address, plaintext ? InsecureChannelCredentials.create() : tls())
              .disableRetry()
              .disableServiceConfigLookUp()
              .userAgent("deeptravel-java/0.1.0")
              .maxInboundMessageSize(16 << 20)
              .build();
      Channel showing =
          ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
      return new DeepTravel(channel, this, new Shown(showing, ""), null);
    }

    private io.grpc.ChannelCredentials tls() {
      if (rootCertificates == null) {
        return TlsChannelCredentials.create();
      }
      try {
        return TlsChannelCredentials.newBuilder().trustManager(rootCertificates).build();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }
}
