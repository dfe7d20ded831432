import Foundation
import Testing
import Web

@Suite struct JSONTests {
    private struct Thing: Decodable, Sendable {
        var name: String?
        var labels: [String: String]?

        init(from decoder: any Decoder) throws {
            var fields = try StrictFields(decoder)
            name = fields.required("name")
            labels = fields.optional("labels")
            try fields.finish()
        }
    }

    private static let valid = Array(#"{"name": "K\u00e9\"\\x", "labels": {"a": "1", "b{[": "]}"}}"#.utf8)

    @Test func `every truncation is refused, and the whole is read`() throws {
        let thing = try JSONBody.decode(Thing.self, from: Self.valid)
        #expect(thing.name == "Ké\"\\x" && thing.labels == ["a": "1", "b{[": "]}"])
        for length in 0..<Self.valid.count {
            #expect(throws: Problem.self) { _ = try JSONBody.decode(Thing.self, from: Array(Self.valid.prefix(length))) }
        }
    }

    @Test func `ten thousand damaged texts give a value or a problem, and agree with another parser on what is JSON`() {
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let signs = Array("{}[]\",:\\u0 é\0".utf8)
        for _ in 0..<10_000 {
            var bytes = Self.valid
            for _ in 0...random(3) {
                let place = random(bytes.count)
                switch random(3) {
                case 0: bytes[place] = UInt8(random(256))
                case 1: bytes[place] = signs[random(signs.count)]
                default: bytes.remove(at: place)
                }
            }
            do {
                _ = try JSONBody.decode(Thing.self, from: bytes)
                #expect(throws: Never.self) { _ = try JSONSerialization.jsonObject(with: Data(bytes)) }
            } catch let problem as Problem {
                #expect([400, 422].contains(problem.status.code))
            } catch {
                Issue.record("\(type(of: error))")
            }
        }
    }

    @Test func `a body of nothing but mistakes has a short answer in a short time`() throws {
        let many = "{" + (0..<40_000).map { #""a\#($0 % 30_000)":1"# }.joined(separator: ",") + "}"
        let problem = #expect(throws: Problem.self) { _ = try JSONBody.decode(Thing.self, from: Array(many.utf8)) }
        #expect(problem?.status.code == 422)
        #expect((problem?.response(requestID: "req_1").body.contentLength ?? 0) < 10_000)
    }
}
