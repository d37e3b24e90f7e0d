#!/usr/bin/env bash
# ics 3.12.0 (Node.js 20), read by ical4j 4.1.1 (Java 17): an event that lasts a day, a reminder a day ahead.
#
# RFC 5545 section 3.3.6: a duration of days is P1D, one of weeks P1W; a T is followed by hours,
# minutes or seconds.
#
# Guess: duration {days: 1} is written as P1D or PT24H, and {weeks: 1} as P1W or P7D.
# Seen:  DURATION:P1DT and P1WT, and TRIGGER:-P1DT: the T stands there even if nothing follows. ical4j
#        reads nothing of such a calendar: ParserException "Text cannot be parsed to a Duration". The
#        lenient ones (ical.js, node-ical, icalendar) read it, so it works where it is tried first.
#        {hours: 24} is written as PT24H, and is read.
#
# What to do: give durations and triggers of this library in hours, or an end.
set -euo pipefail
for tool in npm mvn; do command -v $tool >/dev/null || { echo "needs $tool"; exit 3; }; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts ics@3.12.0
cat > make.cjs <<'JS'
const fs = require("node:fs");
const { createEvent } = require("ics");
const event = { uid: "1", title: "x", start: [2027, 1, 4, 10, 0], startInputType: "utc" };
const ahead = (trigger) => [{ action: "display", trigger: { before: true, ...trigger } }];
for (const [name, more] of Object.entries({
  day: { duration: { days: 1 } },
  week: { duration: { weeks: 1 } },
  reminder: { duration: { hours: 1 }, alarms: ahead({ days: 1 }) },
  hours: { duration: { hours: 24 }, alarms: ahead({ hours: 24 }) },
})) {
  const { error, value } = createEvent({ ...event, ...more });
  if (error) throw error;
  fs.writeFileSync(`${name}.ics`, value);
}
JS
node make.cjs
grep -hE "^(DURATION|TRIGGER)" day.ics week.ics reminder.ics hours.ics | tr -d '\r' | tee written
mkdir -p src/main/java
cat > pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>look</groupId><artifactId>look</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies><dependency>
    <groupId>org.mnode.ical4j</groupId><artifactId>ical4j</artifactId><version>4.1.1</version>
  </dependency></dependencies>
</project>
XML
cat > src/main/java/Look.java <<'JAVA'
import java.io.FileInputStream;
import net.fortuna.ical4j.data.CalendarBuilder;

public class Look {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            try (var file = new FileInputStream(name + ".ics")) {
                int parts = new CalendarBuilder().build(file).getComponents().size();
                System.out.println(name + ": read, " + parts);
            } catch (net.fortuna.ical4j.data.ParserException refused) {
                System.out.println(name + ": " + refused.getMessage());
            }
        }
    }
}
JAVA
mvn --batch-mode --quiet -Dmaven.repo.local="$work/repository" compile \
  org.codehaus.mojo:exec-maven-plugin:3.5.0:java -Dexec.mainClass=Look \
  -Dexec.args="day week reminder hours" 2>log | tee read
diff written - <<'SEEN'
DURATION:P1DT
DURATION:P1WT
DURATION:PT1H
TRIGGER:-P1DT
DURATION:PT24H
TRIGGER:-PT24H
SEEN
for name in day week reminder; do grep -q "$name: .*Text cannot be parsed to a Duration" read; done
grep -q "hours: read, 1" read
