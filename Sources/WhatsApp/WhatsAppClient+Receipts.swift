import WhatsAppWire

/// Receipts (protocol.md 12). What came while the last ones were being recorded is recorded together, and acknowledged together.
extension WhatsAppClient {
    /// Puts a receipt in line; the work it starts if nobody is at it. Beyond the bound it is dropped unacknowledged: the server keeps and repeats it.
    func queue(receipt node: Node) -> Job? {
        guard let waiting = connection?.receipts.count, waiting < Self.maximumReceipts else {
            logger.warning("stanza dropped, too many at once")
            return nil
        }
        connection?.receipts.append(node)
        guard connection?.isTakingReceipts == false else { return nil }
        connection?.isTakingReceipts = true
        return .takeReceipts
    }

    /// Until none is left. Retries are answered beside the others, a few at a time.
    func takeReceipts() async {
        await withDiscardingTaskGroup { group in
            while let batch = nextReceipts() {
                for (node, receipt, count) in await take(batch) {
                    if !retryPermits.take() { await withCheckedContinuation { retryPermits.wait($0) } }
                    group.addTask {
                        await self.take(retry: node, receipt, count: count)
                        await self.retryDone()
                    }
                }
            }
        }
    }

    private func nextReceipts() -> [Node]? {
        guard let waiting = connection?.receipts, !waiting.isEmpty else {
            connection?.isTakingReceipts = false
            return nil
        }
        let batch = Array(waiting.prefix(Self.receiptsAtOnce))
        connection?.receipts.removeFirst(batch.count)
        return batch
    }

    private func retryDone() { retryPermits.giveBack() }

    /// Records and acknowledges everything but retries, which are given back.
    private func take(_ nodes: [Node]) async -> [(Node, Receipt, count: Int)] {
        guard let credentials else { return [] }
        var receipts: [Receipt] = []
        var recorded: [Node] = []
        var others: [Node] = []
        var retries: [(Node, Receipt, count: Int)] = []
        for node in nodes {
            guard let receipt = Receipt(node, own: credentials) else {
                others.append(node)
                continue
            }
            // A receipt of the account's own phone may precede the server's word, so only others prove that the server has the message.
            if receipt.kind != .ownDevice {
                for id in receipt.messageIDs { waits.resolve(Self.ackKey + id, .proven) }
            }
            if case .retry(let count) = receipt.kind {
                retries.append((node, receipt, count))
            } else {
                receipts.append(receipt)
                recorded.append(node)
            }
        }
        if !receipts.isEmpty, await !tell(receipts) {
            recorded = []
            end(.storeFailed)
        }
        writeTogether {
            for node in others + recorded { acknowledge(node) }
        }
        return retries
    }

    private func take(retry node: Node, _ receipt: Receipt, count: Int) async {
        guard let request = RetryRequest(node, count: count, device: receipt.device) else { return acknowledge(node) }
        guard retries.admits(device: request.signalAddress, message: request.messageID, count: count, now: now()) else {
            logger.info("retry not answered, too many")
            return acknowledge(node)
        }
        // Answered before it is acknowledged: whoever dies in between is asked again.
        guard await tell([receipt]), await answer(request) else { return end(.storeFailed) }
        acknowledge(node)
    }

    /// False when the observer could not take the receipts. They are not acknowledged then, and the connection ends: the next one brings them again.
    private func tell(_ receipts: [Receipt]) async -> Bool {
        do {
            try await observer.received(receipts)
            return true
        } catch {
            logger.warning("receipts could not be recorded", metadata: ["count": "\(receipts.count)"])
            return false
        }
    }

    private static let maximumReceipts = 4_096
    private static let receiptsAtOnce = 64
}
