using System.Buffers.Binary;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// Rebuilds four-octet attributes from what a two-octet speaker sends (RFC 6793 section 4.2.3): the attributes with
/// AS_TRANS in them, and beside them AS4_PATH and AS4_AGGREGATOR with the real numbers.
/// </summary>
internal static class As4Merge
{
    /// <summary>The four-octet form of <paramref name="narrow"/>, in <paramref name="buffer"/>.</summary>
    public static ReadOnlySpan<byte> Path(scoped ReadOnlySpan<byte> narrow, scoped ReadOnlySpan<byte> aggregator,
        scoped ReadOnlySpan<byte> as4Path, ref byte[] buffer)
    {
        var wideLength = AsPath.WidenedLength(narrow);
        var needed = wideLength + as4Path.Length + 2;
        if (buffer.Length < needed)
            buffer = new byte[needed * 2];
        AsPath.Widen(narrow, buffer);
        var wide = buffer.AsSpan(0, wideLength);
        // An aggregator that is not AS_TRANS was set behind the last four-octet speaker: its AS4_PATH is stale.
        if (as4Path.IsEmpty || (aggregator.Length == 6
            && BinaryPrimitives.ReadUInt16BigEndian(aggregator) != Asn.Trans.Value))
            return wide;
        var leading = AsPath.CountHops(wide) - AsPath.CountHops(as4Path);
        if (leading < 0)
            return wide;
        var kept = TakeHops(wide, leading);
        as4Path.CopyTo(buffer.AsSpan(kept));
        return JoinSequences(buffer.AsSpan(0, kept + as4Path.Length), kept);
    }

    /// <summary>The eight-octet form of a six-octet aggregator.</summary>
    public static ReadOnlySpan<byte> Aggregator(ReadOnlySpan<byte> narrow, ReadOnlySpan<byte> as4Aggregator,
        Span<byte> buffer)
    {
        if (narrow.Length != 6)
            return narrow;
        var asn = BinaryPrimitives.ReadUInt16BigEndian(narrow);
        if (asn == Asn.Trans.Value && as4Aggregator.Length == 8)
        {
            as4Aggregator.CopyTo(buffer);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(buffer, asn);
            narrow[2..].CopyTo(buffer[4..]);
        }
        return buffer;
    }

    // Cuts the path behind its first hops, shortening a sequence where the cut falls into one; returns what is left of it.
    private static int TakeHops(Span<byte> path, int hops)
    {
        var at = 0;
        while (hops > 0 && at < path.Length)
        {
            var count = path[at + 1];
            if ((SegmentType)path[at] == SegmentType.Sequence)
            {
                var taken = Math.Min(count, hops);
                path[at + 1] = (byte)taken;
                hops -= taken;
                at += 2 + (4 * taken);
            }
            else
            {
                hops--;
                at += 2 + (4 * count);
            }
        }
        return at;
    }

    // Two sequences in a row are one, so that equal paths have equal octets.
    private static ReadOnlySpan<byte> JoinSequences(Span<byte> path, int seam)
    {
        if (seam == 0 || seam >= path.Length || (SegmentType)path[seam] != SegmentType.Sequence)
            return path;
        var last = 0;
        for (var at = 0; at < seam; at += 2 + (4 * path[at + 1]))
            last = at;
        if ((SegmentType)path[last] != SegmentType.Sequence || path[last + 1] + path[seam + 1] > AsPath.MaxSegment)
            return path;
        path[last + 1] += path[seam + 1];
        path[(seam + 2)..].CopyTo(path[seam..]);
        return path[..^2];
    }
}
