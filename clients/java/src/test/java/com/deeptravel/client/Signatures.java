package com.deeptravel.client;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.ForwardingJavaFileObject;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.JavaFileObject.Kind;
import javax.tools.StandardJavaFileManager;
import javax.tools.StandardLocation;

/**
 * Files in which the compiler also finds the generated sources, those of messages without the
 * bodies of their methods: that is most of what it would read, and nothing that a caller sees.
 */
final class Signatures extends ForwardingJavaFileManager<StandardJavaFileManager> {
  private static final Path GENERATED = Path.of("target/generated-sources/protobuf");
  private static final Pattern TOKEN =
      Pattern.compile(
          "\"[^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+\"|'(?:\\\\.|[^'])+?'"
              + "|/\\*.*?\\*/|//[^\n]*|[{}();]",
          Pattern.DOTALL);
  private static final Pattern TYPE = Pattern.compile("\\b(?:class|interface|enum)\\b");

  private static final class Bodiless extends ForwardingJavaFileObject<JavaFileObject> {
    Bodiless(JavaFileObject file) {
      super(file);
    }

    private JavaFileObject file() {
      return fileObject;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) throws IOException {
      String text = fileObject.getCharContent(ignoreEncodingErrors).toString();
      // a stub's constructor has to call that of its superclass
      return fileObject.getName().endsWith("Grpc.java") ? text : withoutBodies(text);
    }
  }

  Signatures(JavaCompiler compiler) throws IOException {
    super(compiler.getStandardFileManager(null, null, null));
    fileManager.setLocationFromPaths(
        StandardLocation.SOURCE_PATH,
        List.of(GENERATED.resolve("java"), GENERATED.resolve("grpc-java")));
  }

  @Override
  public Iterable<JavaFileObject> list(
      Location location, String packageName, Set<Kind> kinds, boolean recurse)
      throws IOException {
    Iterable<JavaFileObject> found = super.list(location, packageName, kinds, recurse);
    if (location != StandardLocation.SOURCE_PATH) {
      return found;
    }
    List<JavaFileObject> bodiless = new ArrayList<>();
    found.forEach(each -> bodiless.add(new Bodiless(each)));
    return bodiless;
  }

  @Override
  public String inferBinaryName(Location location, JavaFileObject file) {
    return super.inferBinaryName(
        location, file instanceof Bodiless bodiless ? bodiless.file() : file);
  }

  @Override
  public boolean contains(Location location, FileObject file) throws IOException {
    return super.contains(location, file instanceof Bodiless bodiless ? bodiless.file() : file);
  }

  /** A source whose methods do nothing, and have no comments. */
  private static String withoutBodies(String text) {
    StringBuilder kept = new StringBuilder();
    int declared = 0; // where in it the declaration under way begins
    int braces = 0; // open ones of a method or a value
    int parentheses = 0;
    boolean leftOut = false;
    int at = 0;
    for (Matcher token = TOKEN.matcher(text); token.find(); at = token.end()) {
      char first = token.group().charAt(0);
      kept.append(leftOut ? "" : text.substring(at, token.start()));
      if (first == '/') {
        continue;
      }
      parentheses += first == '(' ? 1 : first == ')' ? -1 : 0;
      boolean isBrace = parentheses == 0 && (first == '{' || first == '}');
      boolean begins = isBrace && first == '{' && braces == 0;
      String declaration = begins ? kept.substring(declared).strip() : "";
      boolean isType = TYPE.matcher(declaration).find() && !declaration.contains("=");
      if (begins && !isType && !declaration.contains("=") && !declaration.equals("static")) {
        kept.append("{ throw null; }");
        leftOut = true;
      }
      kept.append(leftOut ? "" : token.group());
      if (isBrace && !isType && (begins || braces > 0)) {
        braces += first == '{' ? 1 : -1;
        leftOut &= braces > 0;
      }
      if (braces == 0 && parentheses == 0 && (isBrace || first == ';')) {
        declared = kept.length();
      }
    }
    return kept.append(text.substring(at)).toString();
  }
}
