// swift-tools-version: 6.2
import PackageDescription

// Arrows between targets go down only: a target sees what its `dependencies` name and nothing else.

let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

func room(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: house)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], resources: resources, swiftSettings: house)
}

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOWebSocket", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
]

let package = Package(
    name: "whatsapp-gateway",
    products: [
        .executable(name: "gateway", targets: ["gateway"])
    ],
    dependencies: [
        // AES, HMAC, HKDF, SHA-2, X25519: constant-time and kept by Apple; CryptoExtras adds CBC, CTR and PBKDF2.
        .package(url: "https://github.com/apple/swift-crypto.git", exact: "4.5.2"),
        // WhatsApp's and Signal's messages are protobuf; the generated code is committed.
        .package(url: "https://github.com/apple/swift-protobuf.git", exact: "1.39.0"),
        // Sockets and WebSocket, for WhatsApp's own connection and for the simulator. At least 2.100.0: CVE-2026-28980.
        .package(url: "https://github.com/apple/swift-nio.git", exact: "2.101.2"),
        // TLS on WhatsApp's WebSocket, and on the simulator's.
        .package(url: "https://github.com/apple/swift-nio-ssl.git", exact: "2.37.6"),
        // The HTTP server of the API.
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", exact: "2.28.1"),
        // Starts and stops the parts of the process in order, on signals.
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", exact: "2.13.0"),
        // The log interface of every room.
        .package(url: "https://github.com/apple/swift-log.git", exact: "1.16.2"),
        // The metrics interface of every room; the backend is ours (Telemetry).
        .package(url: "https://github.com/apple/swift-metrics.git", exact: "2.13.0"),
        // The verbs of the command line.
        .package(url: "https://github.com/apple/swift-argument-parser.git", exact: "1.8.2"),
        // gateway.toml, with line numbers in its errors.
        .package(url: "https://github.com/LebJe/TOMLKit.git", exact: "0.6.0"),
    ],
    targets: [
        // C libraries, as Debian ships them.
        .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CArgon2", pkgConfig: "libargon2", providers: [.apt(["libargon2-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CQrencode", pkgConfig: "libqrencode", providers: [.apt(["libqrencode-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        // Typed names for curl's variadic calls, which Swift cannot make.
        .target(name: "CCurlShim", dependencies: ["CCurl"]),

        // Ground floor: bytes, keys, rows.
        room("Primitives", ["CSodium", .product(name: "Crypto", package: "swift-crypto"), .product(name: "CryptoExtras", package: "swift-crypto")]),
        room("Secrets", ["Primitives", "CSodium", "CArgon2"]),
        room("Postgres", ["CLibpq", logging, lifecycle]),
        // The one door through which HTTP leaves.
        room("OutboundHTTP", ["CCurl", "CCurlShim", lifecycle]),

        // What metrics are kept in, and how Prometheus reads them.
        room("Telemetry", [metrics]),

        // The wire.
        room("SignalProtocol", ["Primitives"]),
        room("WhatsAppWire", ["Primitives", "CZlib", protobuf]),
        room("WhatsApp", ["WhatsAppWire", "SignalProtocol", "Primitives", logging] + nio),
        room("Simulator", ["WhatsAppWire", "SignalProtocol", "Primitives", logging, lifecycle] + nio),

        // The business.
        room("Domain", ["Postgres", "Secrets", "Primitives", logging]),
        room("Sessions", ["Domain", "WhatsApp", "SignalProtocol", "Secrets", "Postgres", "Primitives", logging, lifecycle]),
        room("Delivery", ["Domain", "Postgres", "OutboundHTTP", "Primitives", logging, lifecycle]),
        room("Alerting", ["Domain", "Postgres", "OutboundHTTP", "Primitives", logging, lifecycle]),
        room("Web", ["Domain", "Postgres", "Primitives", "CQrencode", hummingbird, logging]),
        room("API", ["Web", "Domain", hummingbird]),
        .executableTarget(
            name: "gateway",
            dependencies: [
                "API", "Web", "Delivery", "Alerting", "Sessions", "Simulator", "Domain", "Postgres", "OutboundHTTP", "Secrets", "Primitives",
                "WhatsApp",
                "WhatsAppWire", "CQrencode", "Telemetry", "Fakes",
                hummingbird, logging, metrics, lifecycle, .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"), .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            exclude: ["Docs"], swiftSettings: house),

        // What plays Telegram and Resend, in the sandbox and for tests.
        room("Fakes", nio),

        // Evidence.
        room("Conformance", ["Primitives", "SignalProtocol", "WhatsAppWire", protobuf]),
        room("Proof", ["Fakes", "Simulator"] + nio),
        room("Simulation", ["Domain", "Sessions", "WhatsApp"]),
        .executableTarget(
            name: "prove",
            dependencies: [
                "Conformance", "Proof", "Fakes", "Simulation", "Simulator", "Primitives", "Domain", "Secrets", "Postgres", "WhatsApp", "OutboundHTTP",
                logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: house),
        .executableTarget(
            name: "Benchmarks",
            dependencies: [
                "Proof", "Primitives", "Simulator", "Postgres", "Domain", "OutboundHTTP", "SignalProtocol", "WhatsAppWire", hummingbird, logging,
                lifecycle,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: house),
        .target(
            name: "TestSupport", dependencies: ["Primitives", "Postgres", "Domain", "Delivery", "OutboundHTTP", "Secrets", logging],
            path: "Tests/TestSupport",
            swiftSettings: house),
        tests("PrimitivesTests", ["Primitives", "CSodium"]),
        tests("SecretsTests", ["Secrets", "Primitives"]),
        tests("PostgresTests", ["Postgres"]),
        // Also counts what other rooms open on their own.
        tests("OutboundHTTPTests", ["OutboundHTTP", lifecycle]),
        tests("SignalProtocolTests", ["SignalProtocol", "Primitives"]),
        tests("WhatsAppWireTests", ["WhatsAppWire", "Primitives"]),
        tests("ConformanceTests", ["Conformance"]),
        tests("WhatsAppTests", ["WhatsApp", "Simulator", "WhatsAppWire", "SignalProtocol", "Primitives"]),
        tests("SimulatorTests", ["Simulator", "WhatsAppWire", "SignalProtocol", "Primitives"]),
        tests("DomainTests", ["Domain", "Postgres", "Secrets", "Primitives"]),
        tests("DeliveryTests", ["Delivery", "Domain", "OutboundHTTP", "Postgres", "Primitives", "Proof", lifecycle]),
        tests("AlertingTests", ["Alerting", "Domain", "Fakes", "OutboundHTTP", "Postgres", "Primitives", lifecycle]),
        tests(
            "SessionsTests",
            [
                "Sessions", "Delivery", "Domain", "Postgres", "Secrets", "Simulator", "WhatsApp", "WhatsAppWire", "SignalProtocol", "Primitives",
                lifecycle,
                logging,
            ]),
        tests("APITests", ["API", "Web", "Domain", .product(name: "HummingbirdTesting", package: "hummingbird")]),
        tests("TelemetryTests", ["Telemetry", metrics]),
        tests("GatewayTests", ["gateway", "Domain", "Fakes", "Web", "OutboundHTTP", "Postgres", "Telemetry", lifecycle, metrics]),
        tests("SimulationTests", ["Simulation", "Domain", "Postgres"]),
    ]
)
