package com.deeptravel.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The example of Standard Webhooks' own text, and what is not it. */
class WebhooksTest {
  private static final String SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  private static final String OTHER =
      "whsec_" + Base64.getEncoder().encodeToString(new byte[32]);
  private static final byte[] BODY = "{\"test\": 2432232314}".getBytes(StandardCharsets.UTF_8);
  private static final String SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
  private static final String SIGNED_AT = "1614265330";
  private static final Instant NOW = Instant.ofEpochSecond(1614265330L);

  private static Map<String, String> headers(String signatures, String timestamp) {
    return Map.of(
        "Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "WEBHOOK-TIMESTAMP", timestamp,
        "webhook-signature", signatures);
  }

  @Test
  void theExampleOfTheSpecification() throws Webhooks.Refused {
    Webhooks.Message found =
        new Webhooks(SECRET).verify(BODY, headers(SIGNATURE, SIGNED_AT), NOW.plusSeconds(299));
    assertEquals("msg_p5jXN8AQM9LWM0D4loKWxJek", found.id());
    assertEquals(NOW, found.time());
  }

  @Test
  void oneOfTwoSecretsAndOneOfSeveralSignatures() throws Webhooks.Refused {
    String several = "v2,xx v1,no-base64 " + SIGNATURE;
    new Webhooks(OTHER, SECRET).verify(BODY, headers(several, SIGNED_AT), NOW);
  }

  @Test
  void whatCannotBeTrusted() {
    Webhooks webhooks = new Webhooks(SECRET);
    Map<String, String> good = headers(SIGNATURE, SIGNED_AT);
    byte[] longer = "{\"test\": 2432232314} ".getBytes(StandardCharsets.UTF_8);
    assertThrows(Webhooks.Refused.class, () -> webhooks.verify(longer, good, NOW));
    assertThrows(
        Webhooks.Refused.class, () -> webhooks.verify(BODY, good, NOW.plusSeconds(301)));
    assertThrows(
        Webhooks.Refused.class, () -> webhooks.verify(BODY, good, NOW.minusSeconds(301)));
    assertThrows(
        Webhooks.Refused.class, () -> webhooks.verify(BODY, headers(SIGNATURE, "soon"), NOW));
    assertThrows(
        Webhooks.Refused.class, () -> webhooks.verify(BODY, headers("v1,", SIGNED_AT), NOW));
    assertThrows(
        Webhooks.Refused.class, () -> new Webhooks(OTHER).verify(BODY, good, NOW));
    assertThrows(Webhooks.Refused.class, () -> webhooks.verify(BODY, Map.of(), NOW));
  }

  @Test
  void aSecretOfAnotherForm() {
    assertThrows(IllegalArgumentException.class, () -> new Webhooks("whsec_QUJD"));
    assertThrows(IllegalArgumentException.class, Webhooks::new);
  }
}
