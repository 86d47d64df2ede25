"""Answers: journal -> tables -> figures -> one page. Reads run folders, never trains; `page.build`
is the way in."""
