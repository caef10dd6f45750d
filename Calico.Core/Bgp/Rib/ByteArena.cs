namespace Calico.Core.Bgp.Rib;

/// <summary>
/// Byte strings of up to 64 KiB in a few large arrays, so that a hundred thousand attribute sets are not a hundred
/// thousand objects. Freed pieces are reused for the same rounded size.
/// </summary>
internal sealed class ByteArena
{
    private const int Granule = 8;
    private const int SegmentBytes = 256 * 1024;
    private const int OffsetBits = 15;

    private readonly List<byte[]> _segments = [];
    private readonly Dictionary<int, Stack<int>> _free = [];
    private int _used = SegmentBytes;

    /// <summary>Stores a copy and returns where it is.</summary>
    public int Store(ReadOnlySpan<byte> bytes)
    {
        var handle = Allocate(Rounded(bytes.Length));
        bytes.CopyTo(_segments[handle >> OffsetBits].AsSpan((handle & ((1 << OffsetBits) - 1)) * Granule));
        return handle;
    }

    public ReadOnlySpan<byte> Read(int handle, int length) =>
        _segments[handle >> OffsetBits].AsSpan((handle & ((1 << OffsetBits) - 1)) * Granule, length);

    public void Free(int handle, int length)
    {
        var size = Rounded(length);
        if (!_free.TryGetValue(size, out var stack))
            _free[size] = stack = new();
        stack.Push(handle);
    }

    private int Allocate(int size)
    {
        if (_free.TryGetValue(size, out var stack) && stack.TryPop(out var reused))
            return reused;
        if (_used + size > SegmentBytes)
        {
            _segments.Add(new byte[SegmentBytes]);
            _used = 0;
        }
        var handle = ((_segments.Count - 1) << OffsetBits) | (_used / Granule);
        _used += size;
        return handle;
    }

    private static int Rounded(int length) => Math.Max(Granule, (length + Granule - 1) / Granule * Granule);
}
