import Foundation
package import Postgres

/// Ids bind and read as `uuid`.
extension TypedID: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { UUID.sqlType }
    package static var sqlArrayType: UInt32 { UUID.sqlArrayType }
    package func encode(into bytes: inout [UInt8]) -> Bool { uuid.encode(into: &bytes) }
    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Self { Self(try UUID.decode(value)) }
}
