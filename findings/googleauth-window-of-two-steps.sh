#!/usr/bin/env bash
# com.warrenstrange:googleauth 1.5.0 (Java 17, Maven): which time steps a window of an even size has.
#
# Six digits that change every 30 seconds are checked against the clock. The window is how many
# steps are accepted; it is 3 unless set: the one before, this one, the next. Who types a code, or
# shows it at a gate, is late rather than early. So one sets 2, for this step and the one before.
#
# Guess: a window of 2 is this step and the one before; 4 has one more of those that are over.
# Seen:  a window of 2 is this step and the NEXT one. A code that is a second over is refused, one
#        that nobody has seen yet is accepted. 4 is one step before and two after. Odd sizes have as
#        many before as after.
#
# What to do: state both sides of a window by themselves, and test the step before as well as the
# next one.
set -euo pipefail
command -v mvn >/dev/null || { echo "needs Maven and a JDK of 17 or later"; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p src/main/java
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>look</groupId><artifactId>look</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
  </properties>
  <dependencies>
    <dependency>
      <groupId>com.warrenstrange</groupId><artifactId>googleauth</artifactId><version>1.5.0</version>
    </dependency>
  </dependencies>
</project>
XML
cat > src/main/java/Look.java <<'JAVA'
import com.warrenstrange.googleauth.GoogleAuthenticator;
import com.warrenstrange.googleauth.GoogleAuthenticatorConfig.GoogleAuthenticatorConfigBuilder;

public class Look {
  public static void main(String[] arguments) {
    String secret = "JBSWY3DPEHPK3PXP";
    long now = 1_800_000_010_000L;  // milliseconds, ten seconds into a step
    for (int size = 1; size <= 5; size++) {
      var checker = new GoogleAuthenticator(
          new GoogleAuthenticatorConfigBuilder().setWindowSize(size).build());
      StringBuilder accepted = new StringBuilder();
      for (int step = -3; step <= 3; step++) {
        int code = checker.getTotpPassword(secret, now + step * 30_000L);
        if (checker.authorize(secret, code, now)) accepted.append(' ').append(step);
      }
      System.out.println(size + ":" + accepted);
    }
  }
}
JAVA
mvn --batch-mode --quiet -Dmaven.repo.local="$work/repository" compile \
  org.codehaus.mojo:exec-maven-plugin:3.5.0:java -Dexec.mainClass=Look 2>log | grep -o '[0-9]:.*' |
  tee seen
diff seen - <<'SEEN'
1: 0
2: 0 1
3: -1 0 1
4: -1 0 1 2
5: -2 -1 0 1 2
SEEN
