from vqvae.advance import RunningTotal


def test_parts_are_told_of_as_one():
    told = []
    whole = RunningTotal(lambda *news: told.append(news), 5)
    for part in (2, 3):
        for done in range(1, part + 1):
            whole(done, part, {"loss": done / part})
    assert told == [(now, 5, {"loss": loss}) for now, loss in enumerate((1 / 2, 1.0, 1 / 3, 2 / 3, 1.0), 1)]


def test_nobody_need_be_told():
    RunningTotal(None, 3)(1, 3)
