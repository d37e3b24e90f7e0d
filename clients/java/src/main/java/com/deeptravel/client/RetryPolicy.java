package com.deeptravel.client;

import java.time.Duration;

/**
 * How often and how patiently a call is repeated.
 *
 * @param attempts how many calls in all; 1 never repeats
 * @param firstPause before the second one; each later pause is twice as long, and each is shortened
 *     by chance, so that many clients do not come back at once
 * @param longestPause the longest pause; who is asked by the server to wait longer gets the
 *     exception at once, since the caller knows better what to do meanwhile
 */
public record RetryPolicy(int attempts, Duration firstPause, Duration longestPause) {
  /** Five calls, a tenth of a second at first, ten seconds at the most. */
  public static final RetryPolicy DEFAULT =
      new RetryPolicy(5, Duration.ofMillis(100), Duration.ofSeconds(10));
}
