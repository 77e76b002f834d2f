// Products of a few rows with weights in panels of 64 outputs.

import CKernels

/// Weights of `rowBytes` bytes an output, as the panels' kernels read them.
private func panels(_ weights: Block, outputs: Int, rowBytes: Int) -> Block {
    let width = Int(winnow_panel_width)
    let panels = (outputs + width - 1) / width
    let memory = Block(panels * width * rowBytes)
    for panel in 0..<panels {
        let from = panel * width
        winnow_panel_fill(
            memory.start + from * rowBytes, weights.start + from * rowBytes, rowBytes, min(width, outputs - from))
    }
    return memory
}

func halfPanels(_ level: winnow_level, _ source: inout Source) {
    let (m, outputs, inputs) = (
        source.count(1...Int(winnow_panel_rows)), source.count(1...150), source.count(1...1200)
    )
    let isAdded: Int32 = source.count(0...1) == 1 ? 1 : 0
    let (rows, weights) = (narrowed(source.floats(m * inputs)), narrowed(source.floats(outputs * inputs)))
    let rowBytes = winnow_panel_row_bytes(inputs, 2)
    let padded = Block(outputs * rowBytes)
    for output in 0..<outputs {
        let to = (padded.start + output * rowBytes).bindMemory(to: UInt16.self, capacity: rowBytes / 2)
        for input in 0..<rowBytes / 2 { to[input] = input < inputs ? weights.all[output * inputs + input] : 0 }
    }
    let packed = panels(padded, outputs: outputs, rowBytes: rowBytes)
    defer { extendLifetime(packed) }
    let at = packed.start.assumingMemoryBound(to: UInt16.self)
    func product(_ level: winnow_level) -> Values<Float> {
        let c = Values<Float>(m * outputs) { isAdded == 1 ? Float($0 % 7) : .nan }
        winnow_panels_bf16(level, at, outputs, inputs, m, rows.start, inputs, c.start, outputs, isAdded)
        return c
    }
    near(product(level), product(winnow_level_reference), 1e-4, "panels of halves")
    let row = Values<Float>(inputs) { _ in .nan }
    winnow_panels_read_bf16(at, inputs, outputs - 1, row.start)
    let last = Values<Float>(inputs) { Float(bitPattern: UInt32(weights.all[(outputs - 1) * inputs + $0]) << 16) }
    near(row, last, 0, "weights that are read back")
}

func bytePanels(_ level: winnow_level, _ source: inout Source) {
    let (m, outputs, inputs) = (
        source.count(1...Int(winnow_panel_rows)), source.count(1...150), source.count(1...1200)
    )
    let isAdded: Int32 = source.count(0...1) == 1 ? 1 : 0
    let (rows, weights) = (source.bytes(m * inputs), source.bytes(outputs * inputs))
    let (rowScales, scales) = (source.floats(m), source.floats(outputs))
    let rowBytes = winnow_panel_row_bytes(inputs, 4)
    let padded = Block(outputs * rowBytes)
    var shifts: [Int32] = []
    for output in 0..<outputs {
        let to = (padded.start + output * rowBytes).bindMemory(to: Int8.self, capacity: rowBytes)
        var sum: Int32 = 0
        for input in 0..<rowBytes {
            // As they are quantised: -127 to 127.
            let value = input < inputs ? max(-127, Int8(bitPattern: weights.all[output * inputs + input])) : 0
            to[input] = value
            sum += Int32(value)
        }
        shifts.append(128 * sum)
    }
    let ends = Values<Int32>(outputs) { shifts[$0] }
    let packed = panels(padded, outputs: outputs, rowBytes: rowBytes)
    defer { extendLifetime(packed) }
    func product(_ level: winnow_level) -> Values<Float> {
        let c = Values<Float>(m * outputs) { isAdded == 1 ? Float($0 % 7) : .nan }
        winnow_panels_int8(
            level, packed.start.assumingMemoryBound(to: Int8.self), outputs, inputs, m, rows.start, inputs,
            rowScales.start, scales.start, ends.start, c.start, outputs, isAdded)
        return c
    }
    // Sums are exact.
    near(product(level), product(winnow_level_reference), 0, "panels of bytes")
}
