import Foundation
import Testing

@testable import gateway

@Suite struct DocsTests {
    private static let folder = "Sources/gateway/Docs"

    @Test func `The binary holds every page as it stands in the repository`() throws {
        let names = try pageNames()
        #expect(names.count > 20)
        #expect(Set(EmbeddedDocs.pages.keys) == Set(names))
        for name in names {
            var source = try Repository.text("\(Self.folder)/\(name)")
            if source.hasSuffix("\n") { source.removeLast() }
            #expect(EmbeddedDocs.pages[name] == source, "\(name): run Scripts/generate-docs")
        }
    }

    @Test func `Scripts/generate-docs writes the committed file`() async throws {
        try await withTemporaryFolder { folder in
            // given a copy of the script and its sources
            for directory in ["Scripts", "Sources/gateway"] {
                try FileManager.default.createDirectory(atPath: "\(folder)/\(directory)", withIntermediateDirectories: true)
            }
            for path in ["Scripts/generate-docs", Self.folder] {
                try FileManager.default.copyItem(atPath: "\(Repository.root)/\(path)", toPath: "\(folder)/\(path)")
            }
            // when it runs there
            let outcome = try await Repository.run("/bin/bash", ["\(folder)/Scripts/generate-docs"], in: folder)
            // then nothing differs
            #expect(outcome.code == 0)
            let generated = "Sources/gateway/Generated/EmbeddedDocs.swift"
            #expect(try String(contentsOfFile: "\(folder)/\(generated)", encoding: .utf8) == Repository.text(generated))
        }
    }

    @Test func `Every page that a page or the description links to exists`() throws {
        var count = 0
        for (name, text) in EmbeddedDocs.pages {
            for link in text.matches(of: /\]\((\/[^)#]*)/).map({ String($0.output.1) }) {
                count += 1
                #expect(page(link) != nil, "\(name) links to \(link)")
            }
        }
        #expect(count > 20)
    }

    private func page(_ link: String) -> String? {
        if link == "/docs" { return EmbeddedDocs.pages["index.md"] }
        let path = link.hasPrefix("/docs/") ? link.dropFirst(6) + ".md" : link.dropFirst()
        return EmbeddedDocs.pages[String(path)]
    }

    private func pageNames() throws -> [String] {
        let enumerator = try #require(FileManager.default.enumerator(atPath: "\(Repository.root)/\(Self.folder)"))
        return enumerator.compactMap { $0 as? String }.filter { $0.hasSuffix(".md") || $0.hasSuffix(".yaml") }
    }
}
