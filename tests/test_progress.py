from isohash.progress import tell


def test_whoever_listens_is_told_and_nobody_need_listen():
    heard = []
    tell(lambda done, total, message: heard.append((done, total, message)), 1, 3, "reading a")
    tell(None, 2, 3, "reading b")
    assert heard == [(1, 3, "reading a")]
