package com.deeptravel.client;

import com.deeptravel.common.v1.Options;
import com.deeptravel.common.v1.Repeat;
import com.google.api.AnnotationsProto;
import com.google.api.HttpRule;
import com.google.protobuf.DescriptorProtos.MethodOptions;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import java.util.UUID;

/** What the contract says of a method: whether it may be repeated, and after what it goes on. */
final class Rpc {
  private static final String REQUEST_ID = "request_id";
  private static final String AFTER = "after_";

  private final com.google.protobuf.Descriptors.MethodDescriptor method;

  Rpc(MethodDescriptor<?, ?> method) {
    if (!(method.getSchemaDescriptor() instanceof ProtoMethodDescriptorSupplier supplier)) {
      throw new IllegalArgumentException(method.getFullMethodName() + " is of no .proto");
    }
    this.method = supplier.getMethodDescriptor();
  }

  String name() {
    return method.getName();
  }

  /** Whether a repeat does no harm: it has a request id, or reads, or does nothing more. */
  boolean isSafe() {
    if (method.getInputType().findFieldByName(REQUEST_ID) != null) {
      return true;
    }
    MethodOptions options = method.getOptions();
    Repeat repeat = options.getExtension(Options.repeat);
    boolean reads =
        options.getExtension(AnnotationsProto.http).getPatternCase() == HttpRule.PatternCase.GET;
    return repeat == Repeat.REPEAT_READS
        || repeat == Repeat.REPEAT_NO_FURTHER_EFFECT
        || (reads && repeat == Repeat.REPEAT_UNSPECIFIED);
  }

  /** The request with an id, if it takes one and has none. */
  @SuppressWarnings("unchecked")
  <T extends Message> T identified(T request) {
    FieldDescriptor field = method.getInputType().findFieldByName(REQUEST_ID);
    if (field == null || !((String) request.getField(field)).isEmpty()) {
      return request;
    }
    return (T) request.toBuilder().setField(field, UUID.randomUUID().toString()).build();
  }

  /** The id of a request; empty if it takes none. */
  String requestId(Message request) {
    FieldDescriptor field = method.getInputType().findFieldByName(REQUEST_ID);
    return field == null ? "" : (String) request.getField(field);
  }

  /** Whether a stream can be opened again after what came last. */
  boolean canResume() {
    return after() != null;
  }

  /** The request of a stream, to go on after an answer. */
  @SuppressWarnings("unchecked")
  <T extends Message> T passed(T request, Message answer) {
    FieldDescriptor after = after();
    if (after == null) {
      return request;
    }
    Object last = answer.getField(of(after));
    // an answer may have nothing to go on after
    return last.equals("") || last.equals(0L)
        ? request
        : (T) request.toBuilder().setField(after, last).build();
  }

  private FieldDescriptor after() {
    for (FieldDescriptor each : method.getInputType().getFields()) {
      if (each.getName().startsWith(AFTER) && of(each) != null) {
        return each;
      }
    }
    return null;
  }

  /** Where an answer has what goes into {@code after_x}: {@code x}, or {@code last_x}. */
  private FieldDescriptor of(FieldDescriptor after) {
    Descriptor answers = method.getOutputType();
    String name = after.getName().substring(AFTER.length());
    FieldDescriptor found = answers.findFieldByName(name);
    return found != null ? found : answers.findFieldByName("last_" + name);
  }

  /** A request for the page after an answer; null if that was the last. */
  @SuppressWarnings("unchecked")
  <T extends Message> T next(T request, Message answer) {
    FieldDescriptor next = method.getOutputType().findFieldByName("next_page_token");
    FieldDescriptor token = method.getInputType().findFieldByName("page_token");
    if (next == null || token == null) {
      throw new IllegalArgumentException(name() + " has no pages");
    }
    Object found = answer.getField(next);
    return found.equals("") ? null : (T) request.toBuilder().setField(token, found).build();
  }
}
