// What the control plane is told once.

package import Layers
package import Wire

extension ControlPlane {
    package struct Settings: Sendable {
        package var incarnation: Incarnation
        package var pipelines: [PipelineShape]
        /// What each half of the main model's layers costs, as ``LayerPlan`` takes it.
        package var work: [Double]
        package var vocabularySize: Int
        /// The main model's and the speculator's fingerprints, 32 bytes.
        package var fingerprint: [UInt8]
        package var speculatorFingerprint: [UInt8]?
        /// Prompts are scored by workers, not in this process.
        package var speculatorsAreWorkers: Bool
        /// The longest prompt the speculator can read; `nil`: there is none.
        package var speculatorContext: Int?
        package var kvRows: Int
        package var microBatchRows: Int
        package var wireType: WireType
        /// Bytes of a hidden row.
        package var rowBytes: Int
        /// Where last stages and speculators send what they made.
        package var resultsEndpoint: String
        /// What the coordinator's own data links are called.
        package var dataPeer: PeerID
        /// Its key; `nil` where links are plain text.
        package var ownKey: PublicKey?
        package var stall: Duration
        package var requests: RequestTable.Limits
        package var ends: Set<Int32>
        /// What each pipeline's policy begins with, where the speculator in this process guesses tokens; `nil`: it does not.
        package var drafts: DraftPolicy?
        /// Tell what took how long.
        package var isTracing: Bool

        package init(
            incarnation: Incarnation, pipelines: [PipelineShape], work: [Double], vocabularySize: Int,
            fingerprint: [UInt8], speculatorFingerprint: [UInt8]? = nil, speculatorsAreWorkers: Bool = false,
            speculatorContext: Int? = nil, kvRows: Int, microBatchRows: Int, wireType: WireType = .f32,
            rowBytes: Int = 0, resultsEndpoint: String, dataPeer: PeerID, ownKey: PublicKey? = nil,
            stall: Duration = .seconds(60),
            requests: RequestTable.Limits, ends: Set<Int32> = [], drafts: DraftPolicy? = nil, isTracing: Bool = false
        ) {
            self.drafts = drafts
            self.isTracing = isTracing
            self.incarnation = incarnation
            self.pipelines = pipelines
            self.work = work
            self.vocabularySize = vocabularySize
            self.fingerprint = fingerprint
            self.speculatorFingerprint = speculatorFingerprint
            self.speculatorsAreWorkers = speculatorsAreWorkers
            self.speculatorContext = speculatorContext
            self.kvRows = kvRows
            self.microBatchRows = microBatchRows
            self.wireType = wireType
            self.rowBytes = rowBytes
            self.resultsEndpoint = resultsEndpoint
            self.dataPeer = dataPeer
            self.ownKey = ownKey
            self.stall = stall
            self.requests = requests
            self.ends = ends
        }

        /// Layers of the main model.
        package var layerCount: Int { work.count / 2 }

        /// What these layers cost, in mean layers.
        package func work(of layers: LayerSpan) -> Double {
            let all = work.reduce(0, +) / Double(max(1, layerCount))
            return all > 0
                ? layers.sublayers.clamped(to: work.indices).reduce(0) { $0 + work[$1] * layers.fraction(of: $1) } / all
                : 0
        }
    }
}
