import pytest

from mmdcls.errors import InputError
from mmdcls.study.page import BEGIN, END, write_page


def said(prefix: str) -> str:
    return f"![]({prefix}a.png)"


def test_own_results_stand_in_the_readme_and_others_in_a_page_of_their_own(tmp_path):
    own, readme = tmp_path / "results", tmp_path / "README.md"
    readme.write_text(f"# Study\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    for _ in range(2):
        assert write_page(said, own, own) == readme
        inside = f"{BEGIN}\n\n![](results/a.png)\n\n{END}"
        assert readme.read_text() == f"# Study\n\n{inside}\n\nafter\n"
    other = tmp_path / "not" / "there"
    assert write_page(said, other, own) == other / "README.md"
    assert (other / "README.md").read_text() == "# Results\n\n![](a.png)\n"


@pytest.mark.parametrize("page", ["# Study\n", f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n"])
def test_a_readme_without_its_lines_is_told_and_kept(page, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(page)
    with pytest.raises(InputError, match="has lost the lines"):
        write_page(said, tmp_path / "results", tmp_path / "results")
    assert readme.read_text() == page
