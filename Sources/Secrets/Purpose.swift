/// What an account's subkey is for. Every purpose has a key of its own, so that what is sealed for one opens under no other.
///
/// The numbers are part of the stored format: never reuse or change one.
package enum Purpose: UInt8, CaseIterable, Sendable {
    /// Message bodies and media keys.
    case bodies = 1
    /// Recipient numbers.
    case recipients = 2
    /// Noise and identity keys, and whatever else logs a linked device in.
    case credentials = 3
    /// Every Signal record: sessions, identities, prekeys; and the sent plaintexts kept for retry receipts.
    case signal = 4
    /// What is searched by a blind index and has no purpose of its own, such as Signal addresses.
    case index = 5
    /// Labels and other names that people give.
    case labels = 6
    /// Webhook URLs and secrets, chat ids, proxy URLs.
    case settings = 7
    /// Actors and details of the audit log.
    case audit = 8
    /// The senders' own numbers and JIDs.
    case senders = 9
    /// Privacy tokens and their salt.
    case tokens = 10
    /// `reference` and `metadata` of messages.
    case references = 11
    /// The contact cache.
    case contacts = 12
    /// E-mail addresses and sign-in factors of people.
    case people = 13
    /// Pairing codes and QR texts while they are valid.
    case pairing = 14
    /// Queued webhook and alert events.
    case events = 15
    /// Answers kept for idempotency keys.
    case idempotency = 16
}
