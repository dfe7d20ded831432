import CQrencode

/// A QR symbol (ISO/IEC 18004) of a short text, drawn as SVG for pages or as half blocks for a terminal.
/// The text of a pairing QR is a secret: neither it nor a drawing of it may be logged.
package struct QRCode: Sendable {
    /// Modules per side, without the quiet zone.
    package let width: Int
    private let dark: [Bool]

    /// Nil when the text is too long for any symbol.
    package init?(_ text: String) {
        guard let code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L) else { return nil }
        defer { QRcode_free(code) }
        width = Int(code.pointee.width)
        guard width > 0, let data = code.pointee.data else { return nil }
        dark = (0..<width * width).map { data[$0] & 1 == 1 }
    }

    private func isDark(_ row: Int, _ column: Int) -> Bool {
        guard (0..<width).contains(row), (0..<width).contains(column) else { return false }
        return dark[row * width + column]
    }

    /// A square SVG with the quiet zone of four modules that the standard asks for.
    package var svg: String {
        let side = width + 8
        var path = ""
        for row in 0..<width {
            for column in 0..<width where isDark(row, column) { path += "M\(column + 4) \(row + 4)h1v1h-1z" }
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(side) \(side)" shape-rendering="crispEdges">\
            <path fill="#fff" d="M0 0h\(side)v\(side)H0z"/><path d="\(path)"/></svg>
            """
    }

    /// Two rows of modules a line, light modules as blocks, so that it scans on a dark terminal.
    package var terminal: String {
        stride(from: -2, to: width + 2, by: 2).map { row in
            (-2..<width + 2).map { column in
                switch (isDark(row, column), isDark(row + 1, column)) {
                case (false, false): "█"
                case (false, true): "▀"
                case (true, false): "▄"
                case (true, true): " "
                }
            }.joined()
        }.joined(separator: "\n")
    }
}
