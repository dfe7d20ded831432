import Foundation
import Proof

/// Clocks of one process that jump while it runs. No namespace moves the wall clock of a running process, so a shim stands between the process
/// and the C library: it adds what a file says, in seconds, to the wall clock and to the clock that counts suspension.
struct ClockShift: Sendable {
    private let library: String
    private let file: String

    /// Builds the shim with the C compiler that building the gateway needs anyway.
    init(directory: String) async throws {
        library = directory + "/clock-shift.so"
        file = directory + "/clock-shift"
        let source = directory + "/clock-shift.c"
        try Self.source.write(toFile: source, atomically: true, encoding: .utf8)
        try set(wall: 0, boot: 0)
        let compiler = try (try? ChildProcess.find("clang")) ?? ChildProcess.find("cc")
        _ = try await ChildProcess.output(
            of: compiler, ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], errors: directory + "/clock-shift.log", limit: .seconds(60))
    }

    var environment: [String: String] { ["LD_PRELOAD": library, "CLOCK_SHIFT_FILE": file] }

    /// From now on. Seconds.
    func set(wall: Int, boot: Int) throws { try "\(wall) \(boot)\n".write(toFile: file, atomically: true, encoding: .utf8) }

    private static let source = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/time.h>
        #include <time.h>

        static int (*real)(clockid_t, struct timespec *);
        static long wall, boot, looked = -1;

        static void look(void) {
            struct timespec now;
            if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
            real(CLOCK_MONOTONIC, &now);
            long tenth = now.tv_sec * 10 + now.tv_nsec / 100000000;
            if (tenth == looked) return;
            looked = tenth;
            const char *path = getenv("CLOCK_SHIFT_FILE");
            FILE *file = path ? fopen(path, "re") : NULL;
            if (!file) return;
            long new_wall, new_boot;
            if (fscanf(file, "%ld %ld", &new_wall, &new_boot) == 2) { wall = new_wall; boot = new_boot; }
            fclose(file);
        }

        int clock_gettime(clockid_t id, struct timespec *at) {
            look();
            int result = real(id, at);
            if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += wall;
            if (result == 0 && id == CLOCK_BOOTTIME) at->tv_sec += boot;
            return result;
        }

        int gettimeofday(struct timeval *at, void *zone) {
            (void)zone;
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            at->tv_sec = now.tv_sec;
            at->tv_usec = now.tv_nsec / 1000;
            return 0;
        }
        """
}
