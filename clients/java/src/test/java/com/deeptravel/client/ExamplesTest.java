package com.deeptravel.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;

/**
 * Each example of the documentation compiles against the contract and this client. Classes of the
 * contract that were left out of the build are read as sources, without what their methods do.
 */
class ExamplesTest {
  private static final Path PAGES = Path.of("../../generated/deeptravel/documentation.json");
  private static final Pattern EXAMPLE = Pattern.compile("```java\n(.*?)\n```", Pattern.DOTALL);
  private static final String LOG_IN =
      "String apiKey = null, token = null;"
          + " String username = null, password = null, terminalDeviceId = null;\n";
  private static final int FEWEST = 100;

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String name, String text) {
      super(URI.create("string:///" + name + ".java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }

  private static List<JavaFileObject> sources() throws IOException {
    JsonObject pages =
        JsonParser.parseString(Files.readString(PAGES)).getAsJsonObject().getAsJsonObject("pages");
    List<JavaFileObject> found = new ArrayList<>();
    for (String reader : List.of("partner", "traveller", "terminal", "administrator")) {
      Matcher examples =
          EXAMPLE.matcher(pages.getAsJsonObject(reader).get("markdown").getAsString());
      assertTrue(examples.find(), reader);
      String start = examples.group(1); // what all others of the page begin with
      String imports = start.substring(0, start.indexOf("DeepTravel client ="));
      found.add(source(found.size(), imports, LOG_IN + start));
      while (examples.find()) {
        if (examples.group(1).contains("ServiceGrpc")) {
          found.add(source(found.size(), imports, examples.group(1)));
        }
      }
    }
    return found;
  }

  private static JavaFileObject source(int number, String imports, String example) {
    boolean isStart = example.startsWith(LOG_IN);
    String name = "Example" + number;
    String given = isStart ? "" : "DeepTravel client";
    String inside = isStart ? example.replace(imports, "") : example;
    String text =
        (imports + "final class " + name + " {\n")
            + ("  static void run(" + given + ") throws Exception {\n")
            + (inside + "\n  }\n}\n");
    return new Source(name, text);
  }

  @Test
  void theyCompile() throws IOException {
    List<JavaFileObject> sources = sources();
    assertTrue(sources.size() >= FEWEST, () -> sources.size() + " examples");
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
    String classes = System.getProperty("java.class.path");
    List<String> options =
        List.of("-proc:none", "-implicit:none", "-cp", classes, "-d", "target/examples");
    Files.createDirectories(Path.of("target/examples"));
    try (Signatures signatures = new Signatures(compiler)) {
      boolean compiled = compiler.getTask(null, signatures, said, options, null, sources).call();
      assertEquals(List.of(), compiled ? List.of() : said.getDiagnostics());
    }
  }
}
