import Domain
import Foundation
import Testing
import Web

@testable import gateway

@Suite struct DocsTests {
    private static let folder = "Sources/gateway/Docs"

    @Test func `The binary holds every page of the repository, and the description as it stands there`() throws {
        #expect(try Set(EmbeddedDocs.pages.keys) == Set(pageNames() + ["api"]))
        #expect(EmbeddedDocs.files["openapi.yaml"].map { $0 + "\n" } == (try Repository.text("\(Self.folder)/openapi.yaml")))
        for (name, page) in EmbeddedDocs.pages {
            #expect(!page.title.isEmpty && page.text.hasPrefix("# ") && page.html.hasPrefix("<h1"), "\(name)")
        }
    }

    /// `.build/python` is what Scripts/test makes.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: "\(Repository.root)/.build/python/ready"), "no .build/python: run Scripts/python"))
    func `Scripts/generate-docs writes the committed file`() async throws {
        try await withTemporaryFolder { folder in
            let outcome = try await Repository.run("/bin/bash", ["\(Repository.root)/Scripts/generate-docs", "--check"], in: folder)
            #expect(outcome.code == 0, "\(outcome.errors)")
        }
    }

    @Test func `The API reference has every operation of the description, with a link to each of its error codes`() throws {
        let page = try #require(EmbeddedDocs.pages["api"]).html
        let operations = try #require(EmbeddedDocs.files["openapi.yaml"]).matches(of: /operationId: (\w+)/).map { String($0.output.1) }
        #expect(operations.count > 30)
        for operation in operations { #expect(page.contains("<h3 id=\"\(operation)\">"), "\(operation)") }
        // Only for methods that a path does not have, so that no operation can name it.
        for code in ProblemCode.allCases where code != .methodNotAllowed {
            #expect(page.contains("href=\"/docs/errors/\(code.rawValue)\""), "\(code.rawValue)")
        }
    }

    @Test func `Every kind of alert has its page, and no other`() throws {
        let pages = EmbeddedDocs.pages.keys.filter { $0.hasPrefix("alerts/") }.map { String($0.dropFirst("alerts/".count)) }
        #expect(Set(pages) == Set(AlertKind.allCases.map(\.rawValue)))
        let list = try #require(EmbeddedDocs.pages["alerts"]).text
        for kind in AlertKind.allCases {
            let page = try #require(EmbeddedDocs.pages["alerts/\(kind.rawValue)"]).text
            #expect(page.hasPrefix("# \(kind.rawValue)\n\nSeverity \(kind.severity.rawValue), about \(Self.subject(kind)).\n"), "\(kind)")
            for heading in ["## What it means", "## What the gateway does", "## What you do", "## How it clears"] {
                #expect(page.contains("\n\(heading)\n"), "\(kind): \(heading)")
            }
            #expect(list.contains("| [\(kind.rawValue)](/docs/alerts/\(kind.rawValue)) | \(kind.severity.rawValue) |"), "\(kind)")
        }
    }

    @Test func `Pages hold nothing from elsewhere, and nothing that runs`() throws {
        #expect(EmbeddedDocs.frame.contains("{title}") && EmbeddedDocs.frame.contains("{body}"))
        for (name, html) in EmbeddedDocs.pages.mapValues(\.html).merging(["frame": EmbeddedDocs.frame], uniquingKeysWith: { $1 }) {
            for part in ["<script", "<img", "<iframe", "style=", " onclick", "javascript:", "src="] {
                #expect(!html.contains(part), "\(name): \(part)")
            }
        }
    }

    @Test func `Browsers get pages drawn, other clients the text, and unknown pages are not there`() async throws {
        try await withTestNode { node in
            let drawn = try await node.get("\(node.api)/docs/guides/developers", headers: ["Accept": "text/html,*/*;q=0.8"])
            let text = try await node.get("\(node.api)/docs/guides/developers")
            let style = try await node.get("\(node.api)/docs/style.css")
            let description = try await node.get("\(node.api)/openapi.yaml")
            let unknown = try await node.get("\(node.api)/docs/guides/nobody")

            #expect(drawn.status == 200 && drawn.text.hasPrefix("<!doctype html>") && drawn.header("content-type") == "text/html; charset=utf-8")
            #expect(drawn.header("content-security-policy")?.hasPrefix("default-src 'none'; style-src 'self';") == true)
            #expect(drawn.text.contains("<a href=\"/docs/guides/developers\" aria-current=\"page\">"))
            #expect(drawn.text.contains("<title>Guide for developers ·") && !drawn.text.contains("{body}"))
            #expect(
                text.status == 200 && text.text.hasPrefix("# Guide for developers\n")
                    && text.header("content-type")?.hasPrefix("text/markdown") == true)
            #expect(style.status == 200 && style.header("content-type")?.hasPrefix("text/css") == true)
            #expect(description.status == 200 && description.text.hasPrefix("openapi: 3.1.0\n"))
            #expect(unknown.status == 404 && unknown.json["code"] as? String == "not_found")
        }
    }

    private static func subject(_ kind: AlertKind) -> String {
        switch kind.subject {
        case .sender: "a sender"
        case .account: "the account"
        case .endpoint: "a webhook endpoint"
        case .channel: "a channel of alerts"
        case .key: "an API key"
        case .gateway: "the gateway"
        }
    }

    private func pageNames() throws -> [String] {
        let enumerator = try #require(FileManager.default.enumerator(atPath: "\(Repository.root)/\(Self.folder)"))
        return enumerator.compactMap { $0 as? String }.filter { $0.hasSuffix(".md") }.map { String($0.dropLast(3)) }
    }
}
