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

/** Each example of the documentation compiles against the contract and this client. */
class ExamplesTest {
  private static final Path PAGES = Path.of("../../generated/deeptravel/documentation.json");
  private static final Pattern EXAMPLE = Pattern.compile("```java\n(.*?)\n```", Pattern.DOTALL);
  private static final Pattern SERVICE = Pattern.compile("(\\w+)ServiceGrpc");
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
      while (examples.find()) {
        Matcher service = SERVICE.matcher(examples.group(1));
        if (service.find()) {
          found.add(source(found.size(), service.group(1).toLowerCase(), examples.group(1)));
        }
      }
    }
    return found;
  }

  private static JavaFileObject source(int number, String noun, String example) {
    String name = "Example" + number;
    String text =
        "import com.deeptravel.client.DeepTravel;\n"
            + ("import com.deeptravel." + noun + ".v1.*;\n")
            + "import com.deeptravel.tickets.v1.*;\n"
            + (noun.equals("admin") ? "import com.deeptravel.ticketing.v1.RefundState;\n" : "")
            + (noun.equals("admin") ? "import com.deeptravel.ota.v1.StatementFormat;\n" : "")
            + "import com.google.api.HttpBody;\n"
            + "import com.google.protobuf.*;\n"
            + "import java.time.Instant;\n"
            + ("final class " + name + " {\n  static void run(DeepTravel client) {\n")
            + (example + "\n  }\n}\n");
    return new Source(name, text);
  }

  @Test
  void theyCompile() throws IOException {
    List<JavaFileObject> sources = sources();
    assertTrue(sources.size() >= FEWEST, () -> sources.size() + " examples");
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
    String classes = System.getProperty("java.class.path");
    List<String> options = List.of("-proc:none", "-cp", classes, "-d", "target/examples");
    Files.createDirectories(Path.of("target/examples"));
    boolean compiled = compiler.getTask(null, null, said, options, null, sources).call();
    assertEquals(List.of(), compiled ? List.of() : said.getDiagnostics());
  }
}
