package com.deeptravel.client;

import io.grpc.Status;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/** The attempts of one call: whether there is another, and when. */
final class Retries {
  /** The server did nothing: any call may be made again. */
  private static final Set<String> NOT_BEGUN = Set.of("RATE_LIMITED", "SERVER_BUSY", "CONFLICT");

  /** It may have been done: only what is safe is called again. */
  private static final Set<String> UNKNOWN_OUTCOME =
      Set.of(
          "DATABASE_UNAVAILABLE",
          "DEADLINE_EXCEEDED",
          "PAYMENT_PROVIDER_UNAVAILABLE",
          "SHUTTING_DOWN");

  /** Without a reason: the connection broke, or a proxy answered. */
  private static final Set<Status.Code> UNREACHED =
      Set.of(Status.Code.UNAVAILABLE, Status.Code.DEADLINE_EXCEEDED);

  private final RetryPolicy policy;
  private final boolean safe;
  private final Long end;
  private int made;

  /** A call that may take so long in all, or without limit if null. */
  Retries(RetryPolicy policy, boolean safe, Duration timeout) {
    this.policy = policy;
    this.safe = safe;
    this.end = timeout == null ? null : System.nanoTime() + timeout.toNanos();
  }

  /** Nanoseconds that are left; null without a limit. */
  Long remaining() {
    return end == null ? null : Math.max(0, end - System.nanoTime());
  }

  /** Something came: what fails after it is a new failure. */
  void progressed() {
    made = 0;
  }

  /** Waits for the next attempt; throws the error if there is none. */
  void pauseOrThrow(CallException error) {
    Optional<Duration> pause = pause(error);
    if (pause.isEmpty()) {
      throw error;
    }
    try {
      Thread.sleep(pause.get().toMillis());
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      error.addSuppressed(interrupted);
      throw error;
    }
  }

  private Optional<Duration> pause(CallException error) {
    made++;
    if (made >= policy.attempts() || !mayRepeat(error)) {
      return Optional.empty();
    }
    double seconds;
    if (error.retryAfter().isPresent()) {
      if (error.retryAfter().get().compareTo(policy.longestPause()) > 0) {
        return Optional.empty();
      }
      seconds = error.retryAfter().get().toNanos() / 1e9 * random(1.0, 1.2);
    } else {
      double doubled = policy.firstPause().toNanos() / 1e9 * Math.pow(2, made - 1);
      seconds = Math.min(doubled, policy.longestPause().toNanos() / 1e9) * random(0.5, 1.0);
    }
    Duration pause = Duration.ofNanos((long) (seconds * 1e9));
    Long left = remaining();
    return left == null || pause.toNanos() < left ? Optional.of(pause) : Optional.empty();
  }

  private boolean mayRepeat(CallException error) {
    if (NOT_BEGUN.contains(error.reason())) {
      return true;
    }
    if (!error.reason().isEmpty()) {
      return safe && UNKNOWN_OUTCOME.contains(error.reason());
    }
    return safe && UNREACHED.contains(error.code());
  }

  private static double random(double least, double most) {
    return ThreadLocalRandom.current().nextDouble(least, most);
  }
}
