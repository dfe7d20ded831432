/// Which gateway this is.
enum Release {
    static let version = "0.4.0"
    /// The web client version that this release was tried with; the setting `whatsapp.client_version` may name a newer one.
    static let clientVersion = "2.3000.1045649367"
}
