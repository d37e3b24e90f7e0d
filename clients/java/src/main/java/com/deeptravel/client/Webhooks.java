package com.deeptravel.client;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Checks that a webhook comes from DeepTravel, by the rules of Standard Webhooks.
 *
 * <p>Give the body as it came, before anybody parsed it: one space more or less is another signature.
 */
public final class Webhooks {
  private static final String PREFIX = "whsec_";
  private static final int MIN_SECRET_BYTES = 24;
  private static final Duration TOLERANCE = Duration.ofMinutes(5);

  private final List<SecretKeySpec> keys = new ArrayList<>();

  /**
   * A request that was checked.
   *
   * @param id the same each time the message is sent again: do what it says once for each
   * @param time when this attempt was signed
   */
  public record Message(String id, Instant time) {}

  /** The request is not from the server that holds the secret, or is too old: answer 400. */
  public static final class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    Refused(String why) {
      super(why);
    }
  }

  /**
   * What checks the requests of one endpoint.
   *
   * @param secrets {@code whsec_…}, one, or while it is exchanged both: whichever fits
   */
  public Webhooks(String... secrets) {
    if (secrets.length == 0) {
      throw new IllegalArgumentException("a webhook cannot be checked without a secret");
    }
    for (String each : secrets) {
      keys.add(new SecretKeySpec(secret(each), "HmacSHA256"));
    }
  }

  /**
   * Checks a request.
   *
   * @param body as it came
   * @param headers in any case; {@code webhook-id}, {@code webhook-timestamp} and {@code
   *     webhook-signature} count
   * @return the message
   * @throws Refused if it cannot be trusted
   */
  public Message verify(byte[] body, Map<String, String> headers) throws Refused {
    return verify(body, headers, Instant.now());
  }

  /**
   * Checks a request that came at a time.
   *
   * @param body as it came
   * @param headers in any case
   * @param now when it came
   * @return the message
   * @throws Refused if it cannot be trusted
   */
  public Message verify(byte[] body, Map<String, String> headers, Instant now) throws Refused {
    Map<String, String> given = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    given.putAll(headers);
    String id = header(given, "webhook-id");
    String timestamp = header(given, "webhook-timestamp");
    String signatures = header(given, "webhook-signature");
    if (!timestamp.matches("[0-9]{1,12}")) {
      throw new Refused("webhook-timestamp is no number of seconds");
    }
    Instant signedAt = Instant.ofEpochSecond(Long.parseLong(timestamp));
    if (Duration.between(signedAt, now).abs().compareTo(TOLERANCE) > 0) {
      throw new Refused("signed too long ago, or ahead of this machine's clock");
    }
    boolean fits = false;
    for (SecretKeySpec key : keys) {
      byte[] expected = sign(key, id + "." + timestamp + ".", body);
      for (String each : signatures.split(" ")) {
        fits |= MessageDigest.isEqual(expected, signature(each));
      }
    }
    if (!fits) {
      throw new Refused("no signature fits: another secret, or the body was changed");
    }
    return new Message(id, signedAt);
  }

  private static String header(Map<String, String> given, String name) throws Refused {
    String found = given.get(name);
    if (found == null || found.isEmpty()) {
      throw new Refused("without the header " + name);
    }
    return found;
  }

  private static byte[] secret(String text) {
    byte[] key = new byte[0];
    try {
      key = Base64.getDecoder().decode(text.startsWith(PREFIX) ? text.substring(6) : text);
    } catch (IllegalArgumentException notBase64) {
      // reported below, without the secret
    }
    if (key.length < MIN_SECRET_BYTES) {
      throw new IllegalArgumentException("a secret is whsec_ and the Base64 of 24 bytes or more");
    }
    return key;
  }

  private static byte[] signature(String text) {
    if (!text.startsWith("v1,")) {
      return new byte[0];
    }
    try {
      return Base64.getDecoder().decode(text.substring(3));
    } catch (IllegalArgumentException notBase64) {
      return new byte[0];
    }
  }

  private static byte[] sign(SecretKeySpec key, String head, byte[] body) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(key);
      mac.update(head.getBytes(StandardCharsets.UTF_8));
      return mac.doFinal(body);
    } catch (GeneralSecurityException everyJavaHasIt) {
      throw new IllegalStateException(everyJavaHasIt);
    }
  }
}
