/// How a linked device presents itself: in the client payload, and to its owner under "Linked devices".
package struct DeviceProfile: Equatable, Sendable {
    /// The name under "Linked devices".
    package var name: String
    /// The operating system's version, as sent with every connection.
    package var systemVersion: String
    /// The device's own version.
    package var version: ClientVersion
    /// Chooses the icon.
    package var platform: WADeviceProps.PlatformType
    /// What the phone shall send of its history; there is no way to say "nothing".
    package var history: WADeviceProps.HistorySyncConfig
    /// Shown nowhere, part of every connection.
    package var language = "en"
    package var country = "US"

    package init(
        name: String, systemVersion: String = "0.1", version: ClientVersion = ClientVersion(0, 1, 0),
        platform: WADeviceProps.PlatformType = .chrome, history: WADeviceProps.HistorySyncConfig = Self.smallHistory
    ) {
        self.name = name
        self.systemVersion = systemVersion
        self.version = version
        self.platform = platform
        self.history = history
    }

    /// As little history as an honest client can ask for (protocol.md 5.2): 10 MB, the first part inside the message itself.
    package static var smallHistory: WADeviceProps.HistorySyncConfig {
        var config = WADeviceProps.HistorySyncConfig()
        config.storageQuotaMb = 10
        config.inlineInitialPayloadInE2EeMsg = true
        return config
    }

    /// The device properties of a registration.
    var properties: WADeviceProps {
        var properties = WADeviceProps()
        properties.os = name
        properties.version.primary = version.primary
        properties.version.secondary = version.secondary
        properties.version.tertiary = version.tertiary
        properties.platformType = platform
        properties.requireFullSync = false
        properties.historySyncConfig = history
        return properties
    }
}
