// Runs MobilityData's gtfs-validator: archive, folder of the report, the day it is for.
import java.nio.file.Path;
import java.time.LocalDate;
import org.mobilitydata.gtfsvalidator.input.CountryCode;
import org.mobilitydata.gtfsvalidator.runner.ApplicationType;
import org.mobilitydata.gtfsvalidator.runner.ValidationRunner;
import org.mobilitydata.gtfsvalidator.runner.ValidationRunnerConfig;
import org.mobilitydata.gtfsvalidator.util.VersionResolver;

public class GtfsValidator {
  public static void main(String[] arguments) throws Exception {
    ValidationRunnerConfig config =
        ValidationRunnerConfig.builder()
            .setGtfsSource(Path.of(arguments[0]).toUri())
            .setOutputDirectory(Path.of(arguments[1]))
            .setDateForValidation(LocalDate.parse(arguments[2]))
            .setCountryCode(CountryCode.forStringOrUnknown("HK"))
            .setNumThreads(1)
            .build();
    new ValidationRunner(new VersionResolver(ApplicationType.CLI)).run(config);
    System.exit(0); // it leaves a thread that asks for its newest version
  }
}
