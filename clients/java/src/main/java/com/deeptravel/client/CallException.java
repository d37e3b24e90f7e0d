package com.deeptravel.client;

import com.deeptravel.common.v1.ErrorReason;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call that failed, as the server explains it.
 *
 * <p>What the server says comes in a trailer. It does not always arrive: the server was not reached,
 * or a proxy answered in its place. Then the reason is empty and the code is all there is.
 */
public final class CallException extends RuntimeException {
  private static final long serialVersionUID = 1L;
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);
  private static final Metadata.Key<String> REQUEST_ID =
      Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);
  private static final String DOMAIN = "deeptravel";

  private final Status.Code code;
  private final String requestId;
  private String reason = "";
  private Map<String, String> metadata = Map.of();
  private transient List<Violation> violations = List.of();
  private Duration retryAfter;
  private String serverRequestId = "";

  /**
   * What is wrong with one field of a request.
   *
   * @param field its path
   * @param description in English
   */
  public record Violation(String field, String description) {}

  CallException(String method, StatusRuntimeException error, String requestId) {
    super(method + " " + error.getMessage(), error);
    this.code = error.getStatus().getCode();
    this.requestId = requestId;
    Metadata trailers = error.getTrailers();
    if (trailers == null) {
      return;
    }
    if (trailers.containsKey(REQUEST_ID)) {
      serverRequestId = trailers.get(REQUEST_ID);
    }
    byte[] details = trailers.get(DETAILS);
    if (details != null) {
      read(details);
    }
  }

  private void read(byte[] details) {
    try {
      for (Any each : com.google.rpc.Status.parseFrom(details).getDetailsList()) {
        read(each);
      }
    } catch (InvalidProtocolBufferException broken) {
      addSuppressed(broken);
    }
  }

  private void read(Any detail) throws InvalidProtocolBufferException {
    if (detail.is(ErrorInfo.class)) {
      ErrorInfo info = detail.unpack(ErrorInfo.class);
      // another domain's reason is that of a proxy, and means something else
      if (info.getDomain().isEmpty() || info.getDomain().equals(DOMAIN)) {
        reason = info.getReason();
        metadata = Map.copyOf(info.getMetadataMap());
      }
    } else if (detail.is(RetryInfo.class)) {
      com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
      retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
    } else if (detail.is(RequestInfo.class)) {
      serverRequestId = detail.unpack(RequestInfo.class).getRequestId();
    } else if (detail.is(BadRequest.class)) {
      List<Violation> found = new ArrayList<>();
      for (BadRequest.FieldViolation each :
          detail.unpack(BadRequest.class).getFieldViolationsList()) {
        found.add(new Violation(each.getField(), each.getDescription()));
      }
      violations = List.copyOf(found);
    }
  }

  /**
   * The status of gRPC.
   *
   * @return it
   */
  public Status.Code code() {
    return code;
  }

  /**
   * The reason's name, such as {@code SOLD_OUT}; a newer server may give others than {@link
   * ErrorReason} has.
   *
   * @return it; empty if the server did not say one
   */
  public String reason() {
    return reason;
  }

  /**
   * Whether this is the reason.
   *
   * @param other a reason of the contract
   * @return whether it is
   */
  public boolean is(ErrorReason other) {
    return other.name().equals("ERROR_REASON_" + reason);
  }

  /**
   * What belongs to the reason, e.g. {@code available} of SOLD_OUT.
   *
   * @return it by name
   */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * With INVALID_FIELD: what is wrong with which field.
   *
   * @return the violations
   */
  public List<Violation> violations() {
    return violations == null ? List.of() : violations;
  }

  /**
   * How long the server asks to wait.
   *
   * @return it, if the server says so
   */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /**
   * The id of the request, made by the client if you gave none. If it is unknown whether the call
   * was done, call again with the same.
   *
   * @return it; empty if the call takes none
   */
  public String requestId() {
    return requestId;
  }

  /**
   * Under which the server's log has the call.
   *
   * @return it; empty if the server was not reached
   */
  public String serverRequestId() {
    return serverRequestId;
  }
}
