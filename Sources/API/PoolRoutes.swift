package import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `POST /v1/pools`
    func createPool(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let key = try idempotencyKey(request)
        let body = try await JSONBody.read(PoolBody.self, from: request, limit: maximumBody)
        let draft = try body.draft()
        if body.isDefault == true { try caller.requireLive("change the account's default pool") }
        try await check(draft.members, caller)
        var (pool, replayed) = try await gateway.pools.create(account: caller.account, draft, idempotencyKey: key, now: now())
        if body.isDefault == true, let made = try await gateway.pools.makeDefault(pool.id, account: caller.account) { pool = made }
        var response = JSONResponse.make(PoolJSON(pool), status: .created, headers: [.location: "/v1/pools/\(pool.id)"])
        if replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }

    /// `GET /v1/pools`
    func listPools(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        var query = QueryFields(request)
        let page = page(&query, of: Pool.self)
        try query.finish()
        let all = try await gateway.pools.list(caller.account).sorted { $1.id < $0.id }.drop { pool in page.after.map { pool.id >= $0 } ?? false }
        let visible = try await visibleSenders(caller)
        let data = all.prefix(page.limit).map { PoolJSON($0, visible: visible) }
        return JSONResponse.make(ListJSON(data, next: all.count > page.limit ? data.last?.id : nil))
    }

    /// `GET /v1/pools/{id}`
    func getPool(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        return JSONResponse.make(PoolJSON(try await pool(context, caller), visible: try await visibleSenders(caller)))
    }

    /// `PATCH /v1/pools/{id}`
    func updatePool(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let body = try await JSONBody.read(PoolBody.self, from: request, limit: maximumBody)
        let change = try body.change()
        let id = try await changeablePool(context, caller).id
        if body.isDefault == true { try caller.requireLive("change the account's default pool") }
        if let members = change.members { try await check(members, caller) }
        guard var pool = try await gateway.pools.update(id, account: caller.account, change, now: now()) else { throw Self.noSuchPool }
        if body.isDefault == true, let made = try await gateway.pools.makeDefault(id, account: caller.account) { pool = made }
        return JSONResponse.make(PoolJSON(pool))
    }

    /// `DELETE /v1/pools/{id}`: its senders stay.
    func deletePool(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let id = try await changeablePool(context, caller).id
        switch try await gateway.pools.delete(id, account: caller.account) {
        case .deleted: return Response(status: .noContent)
        case .isDefault: throw Problem(.defaultPool, "Make another pool the default one first.")
        case nil: throw Self.noSuchPool
        }
    }

    private func pool(_ context: WebContext, _ caller: Caller) async throws -> Pool {
        guard let pool = try await gateway.pools.get(try identifier(context), account: caller.account) else { throw Self.noSuchPool }
        return pool
    }

    /// The pool named in the path, if this caller may change it: a test key may not touch what live messages go through.
    private func changeablePool(_ context: WebContext, _ caller: Caller) async throws -> Pool {
        let pool = try await pool(context, caller)
        guard let visible = try await visibleSenders(caller) else { return pool }
        if pool.isDefault { try caller.requireLive("change the account's default pool") }
        if !pool.members.allSatisfy({ visible.contains($0.sender) }) { try caller.requireLive("change a pool with live senders") }
        return pool
    }

    /// For a test key live senders are not there.
    private func check(_ members: [Pool.Member], _ caller: Caller) async throws {
        guard let visible = try await visibleSenders(caller) else { return }
        let problems = members.enumerated().filter { !visible.contains($0.element.sender) }.map { place, _ in
            Problem.Field(
                pointer: "/members/\(place)/sender", code: SettingsProblem.Code.senderNotFound.rawValue,
                detail: "there is no such sender in this account")
        }
        if !problems.isEmpty { throw Problem(.invalidRequest, "See errors for the fields to correct.", fields: problems) }
    }

    /// nil: all of them.
    private func visibleSenders(_ caller: Caller) async throws -> Set<Sender.ID>? {
        guard caller.isTest else { return nil }
        return Set(try await gateway.senders.list(caller.account).filter(\.isTest).map(\.id))
    }

    private static var noSuchPool: Problem { Problem(.notFound, "There is no such pool in this account.") }
}

/// A pool as callers see it (schema `Pool` of openapi.yaml).
package struct PoolJSON: Encodable {
    struct Member: Encodable {
        var sender: String
        var weight: Int
        var prefixes: [String]
    }

    var id: String
    var name: String
    var policy: String
    var isDefault: Bool
    var members: [Member]
    var limits: SendingLimits.Shape
    var createdAt: Date

    enum CodingKeys: String, CodingKey {
        case id, name, policy, members, limits
        case isDefault = "is_default"
        case createdAt = "created_at"
    }

    /// - Parameter visible: the senders that the caller may see; nil: all.
    package init(_ pool: Pool, visible: Set<Sender.ID>? = nil) {
        id = pool.id.description
        name = pool.name
        policy = pool.policy.rawValue
        isDefault = pool.isDefault
        members = pool.members.filter { visible?.contains($0.sender) ?? true }
            .map { Member(sender: $0.sender.description, weight: $0.weight, prefixes: $0.prefixes) }
        limits = pool.limits.shape
        createdAt = pool.createdAt
    }
}
