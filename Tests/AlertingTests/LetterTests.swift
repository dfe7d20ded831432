import Fakes
import Foundation
import Primitives
import Testing

@testable import Alerting
@testable import Domain

@Suite struct LetterTests {
    private static let opened = Date(timeIntervalSince1970: 1_780_000_000)
    private let writer = NoticeWriter(publicURL: "https://gateway.example/", from: "Gateway <a@example.com>")

    private static func item(_ kind: AlertKind, subjects: Int, label: String = "CS <1> & \"2\"") -> NoticeContent.Item {
        NoticeContent.Item(
            alert: Alert.ID(UUID()), kind: kind, severity: kind.severity, openedAt: opened, clearedAt: opened.addingTimeInterval(754),
            ending: .recovered,
            subjects: (0..<min(subjects, 20)).map { _ in
                NoticeSubject(kind: kind.subject, id: Sender.ID(UUID()).description, label: label)
            }, subjectCount: subjects,
            figures: AlertFigures(share: 0.354, count: 71, total: 200, age: 5_400, until: opened.addingTimeInterval(3_600), code: "x"))
    }

    private func letter(
        _ occasion: AlertNotice.Occasion, _ items: [NoticeContent.Item], others: Int = 0, _ language: AlertChannel.Language = .english
    ) -> Letter {
        writer.letter(
            occasion, NoticeContent(items: items, others: others, digest: Self.digest, madeAt: Self.opened), account: "Toko <Maju>",
            settings: ChannelSettings(language: language), secret: String(repeating: "s", count: 43))
    }

    private static let digest = AlertDigest(
        from: opened.addingTimeInterval(-86_400), to: opened, lines: AlertKind.allCases.map { .init(kind: $0, opened: 3, open: 1) }, sendersReady: 4,
        senders: 5, sent: 1_000, delivered: 950, failed: 12)

    @Test(arguments: AlertChannel.Language.allCases, AlertNotice.Occasion.allCases)
    func `Every kind on every occasion fits a chat and says what, since when, the way out, and where to read on`(
        _ language: AlertChannel.Language, _ occasion: AlertNotice.Occasion
    ) throws {
        for kind in AlertKind.allCases {
            for subjects in [1, 20, 1_000] {
                let letter = letter(occasion, [Self.item(kind, subjects: subjects)], language)
                let plain = try #require(FakeTelegramHTML.plain(letter.telegram), "\(kind) \(occasion)")
                #expect((1...4_096).contains(plain.utf16.count), "\(kind) \(occasion)")
                guard [.fired, .more, .escalated].contains(occasion) else { continue }
                for text in [plain, letter.text] {
                    #expect(text.contains(language.phrases.title(kind, subjects)))
                    #expect(text.contains("2026-05-29 03:26 (Asia/Jakarta)"))
                    #expect(text.contains(language.phrases.wayOut(kind)))
                }
                #expect(letter.telegram.contains("<a href=\"https://gateway.example/docs/alerts/\(kind.rawValue)\">"))
                #expect(letter.text.contains("https://gateway.example/docs/alerts/\(kind.rawValue)"))
                if subjects == 1_000 { #expect(letter.text.contains(language.phrases.more(980))) }
            }
        }
    }

    @Test func `A storm's longest notice is cut and stays readable`() throws {
        let long = String(repeating: "<&>", count: 40)
        let letter = letter(.fired, AlertKind.allCases.prefix(10).map { Self.item($0, subjects: 1_000, label: long) }, others: 40)
        let plain = try #require(FakeTelegramHTML.plain(letter.telegram))
        #expect((2_000...4_096).contains(plain.utf16.count) && plain.hasSuffix("…"))
        #expect(letter.text.contains("and 40 more") && letter.html.contains("and 40 more"))
    }

    @Test(arguments: AlertChannel.Language.allCases, AlertNotice.Occasion.allCases)
    func `An e-mail's HTML needs nothing from outside and shows what people typed as text`(
        _ language: AlertChannel.Language, _ occasion: AlertNotice.Occasion
    ) {
        let letter = letter(occasion, [Self.item(.senderDown, subjects: 2)], language)
        let html = letter.html.lowercased()
        for word in ["<img", "<script", "<link", "src=", "url(", "@import", "<iframe", "<form", "background="] {
            #expect(!html.contains(word), "\(word)")
        }
        #expect(!letter.html.contains("Toko <Maju>") && letter.html.contains("Toko &lt;Maju&gt;"))
        #expect(!letter.html.contains("CS <1>"))
        // Every address in it is the gateway's own.
        let links = letter.html.matches(of: /https?:\/\/[^"<\s]+/).map { String($0.output) }
        #expect(links.allSatisfy { $0.hasPrefix("https://gateway.example/") }, "\(links)")
        #expect(letter.html.contains("lang=\"\(language.rawValue)\""))
    }

    @Test func `The same notice becomes the same bytes, and two languages two`() {
        let items = [Self.item(.senderDown, subjects: 3)]
        #expect(letter(.fired, items) == letter(.fired, items))
        #expect(letter(.fired, items).text != letter(.fired, items, .indonesian).text)
        for kind in AlertKind.allCases {
            #expect(EnglishPhrases().wayOut(kind) != IndonesianPhrases().wayOut(kind))
            #expect(EnglishPhrases().title(kind, 2) != IndonesianPhrases().title(kind, 2))
        }
    }

    @Test func `What is over says how long it lasted, and only what recovered says that all is well`() {
        var item = Self.item(.senderDown, subjects: 1)
        #expect(letter(.cleared, [item]).text.contains("Lasted: 12 min"))
        #expect(letter(.cleared, [item]).text.contains("All is well again."))
        item.ending = .gone
        #expect(!letter(.cleared, [item]).text.contains("All is well again."))
    }

    @Test func `A verification has its link, and a receipt its facts`() throws {
        #expect(letter(.verification, []).text.contains("https://gateway.example/verify-email?token=" + String(repeating: "s", count: 43)))
    }

    @Test func `Commands are read with and without the bot's name, and another bot's are not ours`() {
        #expect(TelegramCommand("/status", bot: "our_bot") == .status)
        #expect(TelegramCommand("/Status@OUR_bot please", bot: "our_bot") == .status)
        #expect(TelegramCommand("/status@their_bot", bot: "our_bot") == nil)
        #expect(TelegramCommand("hello /status", bot: "our_bot") == nil)
        #expect(TelegramCommand("/start abc_-9", bot: "our_bot") == .start(payload: "abc_-9"))
        #expect(TelegramCommand("/start", bot: "our_bot") == .start(payload: nil))
        #expect(TelegramCommand("/mute 2h", bot: "b") == .mute(seconds: 7_200))
        #expect(TelegramCommand("/mute 30m", bot: "b") == .mute(seconds: 1_800))
        #expect(TelegramCommand("/mute 7d", bot: "b") == .mute(seconds: 604_800))
        #expect(TelegramCommand("/mute off", bot: "b") == .mute(seconds: 0))
        for unclear in ["8d", "2x", "-1h", "h", "99999999999999999999h", "1.5h", "²h"] {
            #expect(TelegramCommand("/mute \(unclear)", bot: "b") == .muteUnclear, "\(unclear)")
        }
        #expect(TelegramCommand("/dance", bot: "b") == .unknown)
        #expect(TelegramCommand("/", bot: "b") == nil && TelegramCommand("", bot: "b") == nil)
    }

    @Test func `A button's data fits and reads back, and nobody else's is a button of ours`() {
        let notice = AlertNotice.ID(UUID())
        for action in [NoticeAction.acknowledge, .silence(3_600), .silence(86_400)] {
            let data = NoticeButton(action, notice).data
            #expect(data.utf8.count <= 64)
            #expect(NoticeButton(data: data) == NoticeButton(action, notice))
        }
        for wrong in ["", "ack", "ack:", "ack:alt_1", "s2:\(notice)", "ack:\(notice):x"] { #expect(NoticeButton(data: wrong) == nil) }
    }
}
