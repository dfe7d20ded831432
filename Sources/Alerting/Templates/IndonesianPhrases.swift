import Domain
import Foundation

struct IndonesianPhrases: Phrases {
    let tag = "id"

    // MARK: Alerts

    func title(_ kind: AlertKind, _ count: Int) -> String {
        func senders(_ what: String) -> String { count == 1 ? "Satu pengirim \(what)" : "\(count) pengirim \(what)" }
        return switch kind {
        case .senderDown: senders("tidak dapat mengirim")
        case .senderLoggedOut: senders("keluar dari WhatsApp")
        case .senderReplaced: senders("diambil alih: kuncinya mungkin dicuri")
        case .senderBanned: senders("diblokir sementara")
        case .senderQuota: senders("hampir menghabiskan kuotanya")
        case .senderTimeLocked: senders("tidak boleh memulai chat baru")
        case .failureShare: "Banyak pesan gagal"
        case .undeliveredShare: "Banyak pesan tidak sampai"
        case .queueOld: "Pesan menunggu terlalu lama"
        case .webhookFailing: count == 1 ? "Sebuah endpoint webhook gagal" : "\(count) endpoint webhook gagal"
        case .channelDead:
            count == 1 ? "Sebuah saluran peringatan tidak menerima apa pun lagi" : "\(count) saluran peringatan tidak menerima apa pun lagi"
        case .keyCreated: count == 1 ? "Sebuah kunci API dibuat" : "\(count) kunci API dibuat"
        case .cronLate: "Tugas setiap jam terlambat"
        case .databaseTrouble: "Basis data tidak menjawab"
        case .clientOutdated: "WhatsApp tidak menerima versi klien ini lagi"
        }
    }

    func happened(_ item: NoticeContent.Item, _ times: LetterTimes) -> String {
        let figures = item.figures
        return switch item.kind {
        case .senderDown: "Tidak tersambung ke WhatsApp lebih lama dari semestinya. Pesan menunggu, atau dikirim lewat pengirim lain."
        case .senderLoggedOut: "Perangkat tertaut dihapus di ponsel atau oleh WhatsApp. Tidak ada yang terkirim sampai ditautkan lagi."
        case .senderReplaced:
            "Program lain tersambung dengan kredensial perangkat tertaut ini saat gateway memegang sambungannya. Gateway tidak menyambung lagi "
                + "dengan sendirinya."
        case .senderBanned: "WhatsApp memblokir nomor ini" + (figures.until.map { " sampai \(times.text($0))." } ?? " untuk sementara.")
        case .senderQuota: "\(share(figures)) dari jatah kirim atau kontak baru pengirim untuk hari ini sudah terpakai."
        case .senderTimeLocked:
            "WhatsApp menolak chat baru dari nomor ini (463)" + (figures.until.map { " sampai \(times.text($0))." } ?? ".")
                + " Chat yang sudah ada tetap berjalan."
        case .failureShare: "\(share(figures)) dari pesan pada menit-menit terakhir gagal\(among(figures))."
        case .undeliveredShare: "\(share(figures)) dari pesan yang dikirim belum ada tanda terimanya\(among(figures))."
        case .queueOld:
            "Pesan tertua yang seharusnya sudah dikirim menunggu \(span(Double(figures.age ?? 0)))"
                + (figures.count.map { "; \($0) pesan menunggu." } ?? ".")
        case .webhookFailing:
            "Endpoint ini tidak menerima peristiwa selama \(span(Double(figures.age ?? 0))). Setelah lima hari endpoint dinonaktifkan."
        case .channelDead: "Bot diblokir atau dikeluarkan, atau alamat e-mail menolak. Yang seharusnya ke sana datang ke sini."
        case .keyCreated: "Siapa pun yang memegang kunci ini dapat memakai akun ini sesuai izinnya."
        case .cronLate: "Sudah \(span(Double(figures.age ?? 0))) tidak berhasil. Yang semestinya sudah dihapus mungkin masih ada."
        case .databaseTrouble: "Selama itu tidak ada pesan yang diterima, dikirim, atau dicatat."
        case .clientOutdated: "WhatsApp menjawab login dengan 405. Cepat atau lambat semua pengirim terkena."
        }
    }

    func wayOut(_ kind: AlertKind) -> String {
        switch kind {
        case .senderDown: "Tidak perlu apa-apa jika pulih sendiri. Jika tidak, periksa jaringan mesin ini dan status pengirim."
        case .senderLoggedOut: "Tautkan lagi pengirim: WhatsApp di ponsel, Perangkat tertaut."
        case .senderReplaced: "Cari tahu siapa yang memegang kredensialnya, keluarkan perangkat di ponsel, lalu tautkan lagi."
        case .senderBanned: "Tunggu: blokir berakhir sendiri. Kirim lebih sedikit dari nomor baru, dan hanya kepada yang menantikannya."
        case .senderQuota: "Bagi ke lebih banyak pengirim, atau tunggu sampai besok."
        case .senderTimeLocked: "Tunggu, dan biarkan pengirim lain menulis ke kontak baru."
        case .failureShare: "Periksa kode kegagalan pesan-pesan terakhir."
        case .undeliveredShare: "Periksa apakah penerima masih memakai WhatsApp, dan apakah pengirim banyak diblokir."
        case .queueOld: "Periksa apakah pengirim tersambung dan apa yang membatasinya: jelaskan rute pesan yang menunggu."
        case .webhookFailing: "Lihat catatan pengiriman endpoint, lalu perbaiki yang tertulis di sana."
        case .channelDead: "Buka blokir bot atau tautkan lagi chat; verifikasi lagi alamatnya."
        case .keyCreated: "Jika tidak ada yang Anda kenal membuatnya, cabut sekarang juga."
        case .cronLate: "Jalankan node dengan peran cron, atau: gateway cron hourly"
        case .databaseTrouble: "Periksa PostgreSQL dan disknya, lalu jalankan: gateway doctor"
        case .clientOutdated: "Perbarui gateway, atau atur whatsapp.client_version yang lebih baru."
        }
    }

    func ending(_ ending: Alert.Ending?) -> String {
        switch ending {
        case .recovered, nil: "Semua sudah pulih."
        case .gone: "Yang dimaksud sudah tidak ada, atau kini diberitakan sebagai hal lain."
        case .acknowledged: "Sudah ada yang menanganinya."
        case .expired: "Selama sehari tidak ada yang menanggapinya."
        case .disabled: "Aturannya dinonaktifkan."
        }
    }

    func severity(_ severity: AlertSeverity) -> String {
        switch severity {
        case .info: "Info"
        case .warning: "Peringatan"
        case .critical: "Kritis"
        }
    }

    func heading(_ occasion: AlertNotice.Occasion, alerts: Int) -> String {
        switch occasion {
        case .fired: alerts == 1 ? "Peringatan" : "\(alerts) peringatan"
        case .more: "Bertambah buruk"
        case .cleared: "Selesai"
        case .escalated: "Belum ada yang menanggapi ini"
        case .digest: "Ringkasan harian"
        case .selfTest: "Uji coba"
        case .linked: "Tertaut"
        case .verification: "Ingin menerima peringatan di sini?"
        }
    }

    func more(_ count: Int) -> String { "dan \(count) lagi" }
    let since = "Sejak"
    let lasted = "Berlangsung"
    let runbook = "Langkah demi langkah"
    let escalated = "Ini sudah diberitahukan, tetapi belum ada yang menanggapi tepat waktu, atau tidak ada yang dapat diberi tahu."

    func span(_ seconds: TimeInterval) -> String {
        let whole = Int(min(max(0, seconds), 1e9))
        return switch whole {
        case ..<120: "\(whole) detik"
        case ..<7_200: "\(whole / 60) menit"
        case ..<172_800: "\(whole / 3_600) jam \(whole % 3_600 / 60) menit"
        default: "\(whole / 86_400) hari \(whole % 86_400 / 3_600) jam"
        }
    }

    private func share(_ figures: AlertFigures) -> String { figures.share.map { "\(Int(min(max(0, $0), 1) * 100)) %" } ?? "Sebagian besar" }

    private func among(_ figures: AlertFigures) -> String {
        guard let count = figures.count, let total = figures.total else { return "" }
        return " (\(count) dari \(total))"
    }

    // MARK: Buttons

    let acknowledge = "Saya tangani"
    let silenceHour = "Diam 1 jam"
    let silenceDay = "Diam 24 jam"
    func acknowledged(_ count: Int) -> String { count == 1 ? "Dicatat." : "\(count) peringatan dicatat." }
    func silenced(hours: Int) -> String { "Diam selama \(hours) jam." }
    let nothingToDo = "Tidak ada lagi yang perlu dilakukan di sini."

    // MARK: Other notices

    func digest(_ digest: AlertDigest, _ times: LetterTimes) -> [Letter.Block] {
        var blocks: [Letter.Block] = [
            .fact("Dari", times.bare(digest.from)), .fact("Sampai", times.text(digest.to)),
            .fact("Pengirim yang dapat mengirim", "\(digest.sendersReady) dari \(digest.senders)"), .fact("Pesan terkirim", "\(digest.sent)"),
            .fact("Sampai ke penerima", "\(digest.delivered)"), .fact("Gagal", "\(digest.failed)"),
        ]
        blocks.append(
            digest.lines.isEmpty
                ? .paragraph("Tidak ada peringatan.")
                : .list(digest.lines.map { "\(title($0.kind, 1)): \($0.opened) baru, \($0.open) terbuka" }))
        return blocks
    }

    let selfTest = "Pesan ini datang sekali seminggu untuk menunjukkan bahwa peringatan sampai di sini. Tidak ada yang salah."
    let linked = "Mulai sekarang peringatan akun ini datang ke sini. /help menjelaskan apa yang dapat Anda lakukan."
    let verification =
        "Pengelola akun di bawah ini ingin peringatannya dikirim ke alamat ini. Jika itu bukan Anda, tidak perlu melakukan apa pun."
    let verificationLink = "Ya, kirim peringatan ke sini"
    let verificationEnd = "Tautan ini berlaku satu kali, selama 48 jam."

    func receipt(_ receipt: DeletionReceipt, _ times: LetterTimes) -> (title: String, blocks: [Letter.Block]) {
        (
            "Akun telah dihapus",
            [
                .paragraph(
                    "Semua datanya telah dihapus dari gateway. Ini tanda terimanya; gateway tidak menyimpan apa pun yang mengarah dari sini kepada Anda."
                ),
                .fact("Tanda terima", receipt.id.description), .fact("Diminta", times.text(receipt.requestedAt)),
                .fact("Selesai", times.text(receipt.completedAt)),
                .fact("Cadangan tidak terbaca lagi setelah", times.text(receipt.backupsUnreadableAt)),
                .fact("Baris dihapus", "\(receipt.counts.values.reduce(0, +))"),
                .list(receipt.counts.sorted { $0.key < $1.key }.filter { $0.value > 0 }.map { "\($0.key): \($0.value)" }),
            ]
        )
    }

    // MARK: Answers in a chat

    func linkTaken(account: String, isActive: Bool) -> String {
        isActive
            ? "Chat ini sudah menerima peringatan “\(account)”."
            : "Chat ini meminta peringatan “\(account)”. Pembuat tautan kini harus mengonfirmasinya lewat API; sampai saat itu tidak ada yang datang."
    }

    let linkUnknown = "Tautan ini tidak berlaku (lagi). Tautan berlaku satu kali, selama satu jam: buat yang baru lewat API."
    let startHint =
        "Bot ini memberi tahu peringatan sebuah gateway WhatsApp. Untuk menautkan chat ini, buka tautan dari API (POST /v1/alerts/telegram-link)."
    let notLinked = "Chat ini tidak tertaut ke akun mana pun."
    let help = """
        /status keadaan sekarang
        /senders setiap pengirim dan statusnya
        /mute 2h tanpa peringatan selama dua jam (30m, 1d, off)
        /unlink berhenti menerima peringatan di sini
        """

    func status(_ overview: AlertOverview, mutedUntil: Date?, _ times: LetterTimes) -> [Letter.Block] {
        var blocks: [Letter.Block] = []
        let states = overview.senders.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\(condition($0.key)): \($0.value)" }
        blocks.append(states.isEmpty ? .paragraph(noSenders) : .list(states))
        blocks.append(.fact("Pesan menunggu", "\(overview.queued)"))
        if let oldest = overview.oldestDue { blocks.append(.fact("Tertua seharusnya sejak", times.text(oldest))) }
        blocks.append(.fact("Peringatan terbuka", "\(overview.openCount)"))
        if !overview.open.isEmpty {
            blocks.append(.list(overview.open.prefix(10).map { "\(title($0.kind, $0.openCount)), \(times.bare($0.openedAt))" }))
        }
        if let until = mutedUntil { blocks.append(.fact("Diam sampai", times.text(until))) }
        return blocks
    }

    func condition(_ code: SenderCondition.Code) -> String {
        switch code {
        case .ready: "siap"
        case .connecting: "menyambung"
        case .cooling: "tanpa chat baru"
        case .rateLimited: "diperlambat"
        case .disconnected: "terputus"
        case .parked: "berhenti mencoba"
        case .loggedOut: "keluar"
        case .replaced: "diambil alih"
        case .temporarilyBanned: "diblokir sementara"
        case .clientOutdated: "versi klien usang"
        case .unpaired: "belum ditautkan"
        case .pairing: "sedang ditautkan"
        case .removing: "sedang dihapus"
        }
    }

    let senders = "Pengirim"
    let noSenders = "Belum ada pengirim."
    func muted(until: String?) -> String {
        until.map { "Tidak ada peringatan di sini sampai \($0). /mute off mengakhirinya." } ?? "Peringatan datang lagi ke sini."
    }
    let muteUnclear = "Sebutkan berapa lama: /mute 30m, /mute 2h, /mute 1d, paling lama tujuh hari; /mute off mengakhirinya."
    let unlinked = "Chat ini tidak tertaut lagi. Tidak ada peringatan yang datang ke sini."
    let unlinkFailed = "Itu tidak dapat dilakukan sekarang. Coba lagi nanti."
    let unknownCommand = "Perintah itu tidak ada. /help menunjukkan yang ada."
    let tryLater = "Itu tidak dapat dilihat sekarang. Coba lagi nanti."
}
