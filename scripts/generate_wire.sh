#!/usr/bin/env bash
# Regenerates Sources/Wire/Messages/wire.pb.swift from wire.proto. Needed only when wire.proto changes.
# Wants protoc (Debian: protobuf-compiler) and protoc-gen-swift (product of the swift-protobuf package) on the PATH.
set -euo pipefail
cd "$(dirname "$0")/../Sources/Wire/Messages"
for tool in protoc protoc-gen-swift; do
    command -v "$tool" >/dev/null || { echo "generate_wire: $tool is not on the PATH" >&2; exit 69; }
done
protoc --swift_out=. --swift_opt=Visibility=Internal --swift_opt=UseAccessLevelOnImports=true wire.proto
