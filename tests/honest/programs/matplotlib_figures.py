# needs: matplotlib
import io
import matplotlib.pyplot as plt

figure, axes = plt.subplots()
axes.plot([1, 2, 3], [1, 4, 9], label="squares")
axes.set_title("a title, with $x^2$")
axes.legend()
for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    assert out.getvalue().startswith(start), kind
figure.savefig("figure.png")
plt.close(figure)
