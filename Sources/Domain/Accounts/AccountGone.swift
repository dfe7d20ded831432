/// The account does not exist (any more), or its data key was destroyed: nothing of it can be read.
package struct AccountGone: Error, Sendable, Equatable {
    package let account: Account.ID

    package init(account: Account.ID) { self.account = account }
}
