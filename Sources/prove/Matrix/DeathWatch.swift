import Foundation
import Proof

/// A shell that outlives this process, should it be killed, and then kills the gateways and the PostgreSQL that work in one folder: nobody else
/// would ever end them.
struct DeathWatch {
    private let shell: ChildProcess

    init(over directory: String) throws {
        shell = try ChildProcess(
            ChildProcess.find("sh"), ["-c", Self.script, "death-watch", "\(ProcessInfo.processInfo.processIdentifier)", directory],
            output: "/dev/null")
    }

    /// The folder's processes were ended in good order.
    func end() async { await shell.kill() }

    private static let script = #"""
        trap '' INT HUP
        while kill -0 "$1"; do sleep 1; done
        for process in /proc/[0-9]*; do
            case "$(cat "$process/comm")" in gateway | postgres) ;; *) continue ;; esac
            if cat "$process/environ" "$process/cmdline" | tr '\0' '\n' | grep -qF "$2"; then kill -KILL "${process#/proc/}"; fi
        done
        """#
}
