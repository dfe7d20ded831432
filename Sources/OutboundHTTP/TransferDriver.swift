import CCurl
import CCurlShim
import Glibc

/// What runs on the event thread: takes transfers in, lets libcurl work, hands results out. Never waits for anything but libcurl.
struct TransferDriver {
    private static let idleHandles = 64

    private let owner: EventThread
    private let multi: MultiHandle
    private var queue: FairQueue<Submission>
    private var running: [UInt64: Transfer] = [:]
    /// Lane of each waiting submission, to find it when it is cancelled.
    private var waiting: [UInt64: String] = [:]
    private var idle: [EasyHandle] = []
    /// No waiting submission's deadline is earlier.
    private var nextDeadline: ContinuousClock.Instant?

    init(_ owner: EventThread, _ multi: MultiHandle, _ limits: FairQueue<Submission>.Limits) {
        self.owner = owner
        self.multi = multi
        queue = FairQueue(limits)
    }

    /// Until the owner is closing and nothing is left.
    consuming func run() {
        Self.blockSIGPIPE()
        while true {
            let (commands, closing) = owner.takeCommands()
            for command in commands { take(command) }
            let now = ContinuousClock.now
            expire(now)
            startWaiting(now)
            var count: Int32 = 0
            curl_multi_perform(multi.raw, &count)
            collect()
            startWaiting(now)
            if let closing {
                if now >= closing { giveUp() }
                if running.isEmpty && waiting.isEmpty { return }  // nothing was taken since `closing` was set
            }
            owner.note(HTTPClient.Load(running: running.count, waiting: waiting.count))
            // libcurl cuts this short for its own time-outs, for sockets, and for `wake`.
            curl_multi_poll(multi.raw, nil, 0, milliseconds(until: [nextDeadline, closing].compactMap(\.self).min()), nil)
        }
    }

    // MARK: In

    private mutating func take(_ command: EventThread.Command) {
        switch command {
        case .start(let submission):
            guard queue.append(submission, lane: submission.order.lane) else {
                return owner.finish(submission, .failure(OutboundFailure(.overloaded, "too many requests wait", isTransient: true)))
            }
            waiting[submission.id] = submission.order.lane
            nextDeadline = min(nextDeadline ?? submission.order.deadline, submission.order.deadline)
        case .cancel(let id):
            if let transfer = running[id] {
                end(transfer, .failure(.canceled(mayHaveArrived: transfer.isOnWire)))
            } else if let lane = waiting[id] {
                drop(queue.remove(lane: lane) { $0.id == id }, .canceled())
            }
        }
    }

    private mutating func startWaiting(_ now: ContinuousClock.Instant) {
        while let submission = queue.next() {
            waiting[submission.id] = nil
            guard let easy = idle.popLast() ?? EasyHandle() else {
                refuse(submission, "libcurl has no memory")
                continue
            }
            let transfer = Transfer(submission, easy)
            guard transfer.configure(now: now) else {
                refuse(submission, "libcurl refuses an option")
                continue
            }
            guard curl_multi_add_handle(multi.raw, easy.raw) == CURLM_OK else {
                refuse(submission, "libcurl refuses the transfer")
                continue
            }
            running[submission.id] = transfer
        }
        if waiting.isEmpty { nextDeadline = nil }
    }

    private mutating func refuse(_ submission: Submission, _ detail: String) {
        queue.finished(lane: submission.order.lane)
        owner.finish(submission, .failure(OutboundFailure(.internal, detail, isTransient: false)))
    }

    // MARK: Out

    private mutating func collect() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi.raw, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let raw = message.pointee.easy_handle, let context = ccurl_info_private(raw) else { continue }
            let code = ccurl_message_result(message)
            let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
            end(transfer, transfer.result(code, now: ContinuousClock.now))
        }
    }

    private mutating func end(_ transfer: Transfer, _ result: Result<OutboundResponse, OutboundFailure>) {
        curl_multi_remove_handle(multi.raw, transfer.easy.raw)
        running[transfer.submission.id] = nil
        queue.finished(lane: transfer.submission.order.lane)
        // The handle forgets the request, its headers and its body at once.
        transfer.easy.reset()
        if idle.count < Self.idleHandles { idle.append(transfer.easy) }
        owner.finish(transfer.submission, result)
    }

    private mutating func expire(_ now: ContinuousClock.Instant) {
        guard let deadline = nextDeadline, deadline <= now else { return }
        nextDeadline = nil
        var earliest: ContinuousClock.Instant?
        let over = queue.remove { submission in
            if submission.order.deadline <= now { return true }
            earliest = min(earliest ?? submission.order.deadline, submission.order.deadline)
            return false
        }
        nextDeadline = earliest
        drop(over, .timeout("in the queue"))
    }

    private mutating func giveUp() {
        drop(queue.remove { _ in true }, .closed)
        for transfer in Array(running.values) {
            var failure = OutboundFailure.closed
            failure.mayHaveArrived = transfer.isOnWire
            end(transfer, .failure(failure))
        }
    }

    private mutating func drop(_ submissions: [Submission], _ failure: OutboundFailure) {
        for submission in submissions {
            waiting[submission.id] = nil
            owner.finish(submission, .failure(failure))
        }
    }

    // MARK: The thread

    private func milliseconds(until deadline: ContinuousClock.Instant?) -> Int32 {
        guard let deadline else { return 60_000 }
        let (seconds, attoseconds) = (deadline - .now).components
        return Int32(clamping: max(0, min(seconds, 60) * 1_000 + attoseconds / 1_000_000_000_000_000 + 1))
    }

    /// OpenSSL writes to sockets without MSG_NOSIGNAL. The signal is this thread's alone, and blocked here; the write fails instead.
    private static func blockSIGPIPE() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }
}
