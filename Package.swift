// swift-tools-version: 6.2
import PackageDescription

/// Swift 6 mode everywhere, and no warning survives.
let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

/// How the worker's C library is linked: Swift's runtime inside, nothing seen from outside but its own interface, and never
/// unloaded, which Swift's runtime does not survive.
let standsAlone =
    [
        "-static-stdlib", "-use-ld=lld", "-lFoundation", "-lFoundationInternationalization", "-lFoundationEssentials",
        "-l_FoundationICU", "-lCoreFoundation", "-l_FoundationCollections", "-l_FoundationCShims", "-ldispatch",
        "-lBlocksRuntime",
    ]
    + [
        "-soname=libwinnow_worker.so.1", "--as-needed", "--gc-sections", "-z", "nodelete", "-z", "defs",
        "--version-script=\(Context.packageDirectory)/Sources/CWinnowWorker/winnow_worker.map",
    ].flatMap { ["-Xlinker", $0] }

let package = Package(
    name: "winnow",
    products: [
        .executable(name: "winnow", targets: ["winnow"]),
        .library(name: "WinnowWorker", targets: ["WinnowWorker"]),
        .library(name: "winnow_worker", type: .dynamic, targets: ["WorkerABI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        // Floor 0: C libraries.
        .systemLibrary(name: "CZeroMQ", pkgConfig: "libzmq", providers: [.apt(["libzmq3-dev"])]),
        .systemLibrary(name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .target(name: "CKernels", cSettings: [.treatAllWarnings(as: .error)]),
        .target(name: "COpenBLAS", dependencies: ["CKernels"], cSettings: [.treatAllWarnings(as: .error)]),
        .target(name: "COneDNN", dependencies: ["CKernels"], cSettings: [.treatAllWarnings(as: .error)]),

        // Floor 0: what a stage may hold of a model.
        .target(name: "Layers", swiftSettings: swift),

        // Floor 0: files of keys and certificates.
        .target(name: "SecretFiles", swiftSettings: swift),

        // Floor 0: words of strangers.
        .target(name: "OutsideText", dependencies: [log], swiftSettings: swift),

        // Floor 1.
        .target(name: "Jinja", swiftSettings: swift),
        .target(name: "Compute", dependencies: ["COpenBLAS", "COneDNN", "CKernels"], swiftSettings: swift),

        // Floor 2: files to values.
        .target(name: "Checkpoint", dependencies: ["Layers", "Compute", "CSodium"], swiftSettings: swift),
        .target(name: "Tokenizer", dependencies: ["COniguruma", "Checkpoint", "Jinja"], swiftSettings: swift),

        // Floor 3: the model.
        .target(name: "Transformer", dependencies: ["Layers", "Compute", "Checkpoint"], swiftSettings: swift),

        // Floor 4: what to keep, and how to send it.
        .target(
            name: "Speculation", dependencies: ["Layers", "Transformer", "Compute", "Checkpoint"], swiftSettings: swift),
        .target(
            name: "Wire",
            dependencies: [
                "CZeroMQ", "Layers", "OutsideText", "SecretFiles", log,
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ], exclude: ["Messages/wire.proto"], swiftSettings: swift),

        // Floor 5: what processes can be told.
        .target(name: "Settings", dependencies: ["Layers", "Wire", "OutsideText"], swiftSettings: swift),

        // Floor 5: the two ends of a pipeline.
        .target(
            name: "WinnowWorker",
            dependencies: [
                "Layers", "Tokenizer", "Transformer", "Speculation", "Wire", "Checkpoint", "Compute", "OutsideText",
                log,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: swift),
        .target(name: "CWinnowWorker", exclude: ["winnow_worker.map"], cSettings: [.treatAllWarnings(as: .error)]),
        .target(
            name: "WorkerABI",
            dependencies: [
                "WinnowWorker", "CWinnowWorker", "Compute", "OutsideText", log,
                .product(name: "DequeModule", package: "swift-collections"),
            ], swiftSettings: swift, linkerSettings: [.unsafeFlags(standsAlone)]),
        .target(
            name: "Coordinator",
            dependencies: [
                "Layers", "Tokenizer", "Transformer", "Speculation", "Wire", "Checkpoint", "Compute", "OutsideText",
                log,
                .product(name: "DequeModule", package: "swift-collections"),
            ], swiftSettings: swift),

        // Floor 6: the outside.
        .target(
            name: "Gateway",
            dependencies: [
                "Coordinator", "Layers", "Tokenizer", "Checkpoint", "Transformer", "Speculation", "OutsideText",
                "SecretFiles", log,
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: swift),
        .target(
            name: "LoadGenerator",
            dependencies: [
                "OutsideText",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ], swiftSettings: swift),
        .target(
            name: "Launcher",
            dependencies: [
                "Settings", "Layers", "Wire", "OutsideText", "SecretFiles",
                .product(name: "Yams", package: "Yams"), .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ], swiftSettings: swift),

        // Floor 7: the command.
        .executableTarget(
            name: "winnow",
            dependencies: [
                "Compute", "Checkpoint", "Tokenizer", "Transformer", "Speculation", "Wire", "WinnowWorker",
                "Coordinator", "Gateway", "LoadGenerator", "Launcher", "Settings", "Layers", "OutsideText",
                "SecretFiles", arguments, log,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: swift),

        // Tests live with the room they hold. They read their fixtures from the source tree.
        .target(name: "ChildPrograms", path: "Tests/ChildPrograms", swiftSettings: swift),
        .testTarget(
            name: "OutsideTextTests",
            dependencies: ["OutsideText", log, .product(name: "InMemoryLogging", package: "swift-log")],
            swiftSettings: swift),
        .testTarget(name: "SecretFilesTests", dependencies: ["SecretFiles"], swiftSettings: swift),
        .testTarget(name: "LayersTests", dependencies: ["Layers"], swiftSettings: swift),
        .testTarget(name: "ComputeTests", dependencies: ["Compute", "CKernels"], swiftSettings: swift),
        .testTarget(
            name: "CheckpointTests", dependencies: ["Checkpoint", "Layers", "Compute"], exclude: ["Fixtures"],
            swiftSettings: swift),
        .testTarget(name: "JinjaTests", dependencies: ["Jinja"], exclude: ["Fixtures"], swiftSettings: swift),
        .testTarget(
            name: "TokenizerTests", dependencies: ["Tokenizer", "Jinja", "Checkpoint"], exclude: ["Fixtures"],
            swiftSettings: swift),
        .testTarget(
            name: "TransformerTests", dependencies: ["Transformer", "Layers", "Checkpoint", "Compute"],
            exclude: ["Fixtures"],
            swiftSettings: swift),
        .testTarget(
            name: "SpeculationTests",
            dependencies: ["Speculation", "Layers", "Transformer", "Checkpoint", "Compute", "Tokenizer"],
            exclude: ["Fixtures"], swiftSettings: swift),
        .testTarget(
            name: "WireTests",
            dependencies: [
                "Wire", "Layers", "SecretFiles", "ChildPrograms",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: swift),
        .testTarget(
            name: "WorkerTests",
            dependencies: [
                "WinnowWorker", "Layers", "Wire", "Checkpoint", "Compute", log,
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: swift),
        .testTarget(
            name: "CoordinatorTests",
            dependencies: [
                "Coordinator", "WinnowWorker", "Layers", "Wire", "Speculation", "Transformer", "Tokenizer",
                "Checkpoint", "Compute", log,
            ], swiftSettings: swift),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "Coordinator", "Layers", "Tokenizer", "Transformer", "Speculation", "SecretFiles",
                "ChildPrograms", log,
                .product(name: "InMemoryLogging", package: "swift-log"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], exclude: ["Fixtures"], swiftSettings: swift),
        .testTarget(
            name: "LoadGeneratorTests",
            dependencies: [
                "LoadGenerator", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            ], swiftSettings: swift),
        .testTarget(name: "SettingsTests", dependencies: ["Settings", "Layers"], swiftSettings: swift),
        .testTarget(
            name: "LauncherTests",
            dependencies: ["Launcher", "Settings", "Layers", "winnow", "ChildPrograms", log],
            exclude: ["Fixtures", "Topologies"],
            swiftSettings: swift),
        // The whole house: real processes of the built command.
        .testTarget(
            name: "WinnowTests",
            dependencies: ["winnow", "Settings", "Speculation", "Gateway", "Wire", "ChildPrograms"],
            exclude: ["Fixtures"],
            swiftSettings: swift),
    ]
)

// Fuzzers, for scripts/fuzz.sh only: libFuzzer brings their main function. The name is the folder's in Tests/Fuzz.
let fuzzed: [(name: String, dependencies: [Target.Dependency])] = [
    ("Templates", ["Jinja"]), ("Tokenizers", ["Tokenizer"]), ("Weights", ["Checkpoint"]), ("Wire", ["Wire"]),
    ("Settings", ["Launcher", "Settings"]), ("Traces", ["LoadGenerator"]), ("Kernels", ["CKernels"]),
    (
        "HTTP",
        [
            "Gateway", "Coordinator", "Tokenizer", "Speculation", log,
            .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            .product(name: "NIOEmbedded", package: "swift-nio"),
        ]
    ),
]
if Context.environment["WINNOW_FUZZ"] != nil {
    package.targets += fuzzed.map { harness in
        .executableTarget(
            name: "Fuzz\(harness.name)", dependencies: harness.dependencies, path: "Tests/Fuzz/\(harness.name)",
            exclude: ["corpus"], swiftSettings: swift)
    }
}
