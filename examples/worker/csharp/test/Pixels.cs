using System.IO;
using System.Text;

/// <summary>The compressed pixels of a PNG, without its text: pictures name the weights that they were asked for with.</summary>
internal static class Pixels
{
    internal static byte[] Of(byte[] png)
    {
        var pixels = new MemoryStream();
        for (var at = 8; at + 12 <= png.Length;)
        {
            var length = png[at] << 24 | png[at + 1] << 16 | png[at + 2] << 8 | png[at + 3];
            if (Encoding.ASCII.GetString(png, at + 4, 4) == "IDAT")
                pixels.Write(png, at + 8, length);
            at += 12 + length;
        }
        Check.True(pixels.Length > 0, "there are pixels");
        return pixels.ToArray();
    }
}
