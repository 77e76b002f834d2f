// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "host",
    dependencies: [
        .package(name: "winnow", path: "../../.."),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "Host",
            dependencies: [
                .product(name: "WinnowWorker", package: "winnow"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ])
    ]
)
