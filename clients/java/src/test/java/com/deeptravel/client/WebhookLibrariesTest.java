package com.deeptravel.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * What a server sent is verified by the libraries for Java of Standard Webhooks and of svix, and by
 * this client; and what the libraries sign is left for the server. The file {@code -Dwebhooks=…}
 * has the requests, at Hong Kong; without one nothing is tested.
 */
class WebhookLibrariesTest {
  private static final String GIVEN = System.getProperty("webhooks", "");

  private interface Verifier {
    void verify(String secret, byte[] body, Map<String, String> headers) throws Exception;
  }

  private static final Map<String, Verifier> LIBRARIES =
      Map.of(
          "standardwebhooks",
          (secret, body, headers) ->
              new com.standardwebhooks.Webhook(secret).verify(text(body), asHttp(headers)),
          "svix",
          (secret, body, headers) ->
              new com.svix.Webhook(secret).verify(text(body), asHttp(headers)),
          "deeptravel",
          (secret, body, headers) -> new Webhooks(secret).verify(body, headers));

  private static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }

  private static HttpHeaders asHttp(Map<String, String> headers) {
    Map<String, List<String>> lists = new HashMap<>();
    headers.forEach((name, value) -> lists.put(name, List.of(value)));
    return HttpHeaders.of(lists, (name, value) -> true);
  }

  private static boolean isTrusted(Verifier library, JsonObject webhook) throws Exception {
    Map<String, String> headers = new HashMap<>();
    webhook
        .getAsJsonObject("headers")
        .entrySet()
        .forEach(each -> headers.put(each.getKey(), each.getValue().getAsString()));
    try {
      library.verify(webhook.get("secret").getAsString(), body(webhook), headers);
      return true;
    } catch (Webhooks.Refused
        | com.standardwebhooks.exceptions.WebhookVerificationException
        | com.svix.exceptions.WebhookVerificationException refused) {
      return false;
    }
  }

  private static byte[] body(JsonObject webhook) {
    return Base64.getDecoder().decode(webhook.get("body").getAsString());
  }

  @Test
  void eachTrustsWhatIsGoodAlone() throws Exception {
    assumeTrue(!GIVEN.isEmpty(), "no requests of a server are given");
    JsonArray webhooks = given().getAsJsonArray("webhooks");
    List<String> good = new ArrayList<>();
    for (JsonElement each : webhooks) {
      if (each.getAsJsonObject().get("is_good").getAsBoolean()) {
        good.add(each.getAsJsonObject().get("name").getAsString());
      }
    }
    for (Map.Entry<String, Verifier> library : LIBRARIES.entrySet()) {
      List<String> trusted = new ArrayList<>();
      for (JsonElement each : webhooks) {
        if (isTrusted(library.getValue(), each.getAsJsonObject())) {
          trusted.add(each.getAsJsonObject().get("name").getAsString());
        }
      }
      assertEquals(good, trusted, library.getKey());
    }
  }

  @Test
  void theLibrariesSignPartnersOwn() throws Exception {
    assumeTrue(!GIVEN.isEmpty(), "no request to sign is given");
    assertEquals(8 * 3600, ZonedDateTime.now().getOffset().getTotalSeconds());
    JsonObject own = given().getAsJsonObject("own");
    String secret = own.get("secret").getAsString();
    String body = text(body(own));
    long now = Instant.now().getEpochSecond();
    JsonObject signed = new JsonObject();
    signed.add(
        "standardwebhooks",
        headers(now, new com.standardwebhooks.Webhook(secret).sign("of-java", now, body)));
    signed.add("svix", headers(now, new com.svix.Webhook(secret).sign("of-java", now, body)));
    Files.writeString(Path.of(GIVEN + ".signed"), signed.toString());
  }

  private static JsonObject given() throws Exception {
    return JsonParser.parseString(Files.readString(Path.of(GIVEN))).getAsJsonObject();
  }

  private static JsonArray headers(long seconds, String signature) {
    JsonArray values = new JsonArray();
    values.add("of-java");
    values.add(String.valueOf(seconds));
    values.add(signature);
    return values;
  }
}
