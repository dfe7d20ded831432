extension ClaimedMessage {
    /// The same claim after its first bytes have left: what `preWire` must be called with when the stanza is built again under the same id,
    /// after a refusal that new device lists may cure (design.md §13.5) or for a device that was missing (§13.6).
    package func rebuilt() -> ClaimedMessage {
        ClaimedMessage(
            id: id, owner: owner, wireID: wireID, messageSecret: messageSecret, recipient: recipient, body: body, previewURL: previewURL,
            isTest: isTest, attempt: attempt + 1, createdAt: createdAt, expiresAt: expiresAt, deadline: deadline, onWireBefore: true,
            dispatch: dispatch)
    }
}
