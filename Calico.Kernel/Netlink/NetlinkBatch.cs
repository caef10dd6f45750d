using System.Runtime.InteropServices;

namespace Calico.Kernel.Netlink;

/// <summary>
/// Messages that are sent to the kernel together, in storage that is reused from batch to batch. Their sequence
/// numbers are consecutive, so that the place of an answer in the batch is a subtraction.
/// <code>
/// batch.Clear(socket);
/// var w = batch.Writer();
/// var m = w.BeginMessage(type, flags); … w.EndMessage(m);      // once a request
/// batch.AcknowledgeLast();                                     // the others answer only when they fail
/// socket.Exchange(batch, results);
/// </code>
/// </summary>
/// <param name="capacity">Bytes to start with.</param>
/// <param name="limit">Bytes that are never exceeded: a runaway writer throws.</param>
public sealed class NetlinkBatch(int capacity = 64 * 1024, int limit = 256 * 1024 * 1024)
{
    private byte[] _storage = GC.AllocateUninitializedArray<byte>(capacity);
    private int _last = -1;

    internal Span<byte> Storage => _storage;

    /// <summary>Bytes of complete messages.</summary>
    public int Length { get; private set; }

    /// <summary>Complete messages.</summary>
    public int Count { get; private set; }

    public uint FirstSequence { get; private set; }

    public ReadOnlySpan<byte> Bytes => _storage.AsSpan(0, Length);

    /// <summary>Empties the batch; its first message will take the socket's next sequence number.</summary>
    public void Clear(NetlinkSocket socket) => Clear(socket.NextSequence);

    /// <summary>Empties the batch; its first message will take this sequence number.</summary>
    public void Clear(uint firstSequence)
    {
        Length = 0;
        Count = 0;
        _last = -1;
        FirstSequence = firstSequence;
    }

    /// <summary>A writer that appends. Only one at a time.</summary>
    public NetlinkWriter Writer() => new(this);

    /// <summary>Makes the kernel answer the last message even if it succeeds.</summary>
    public void AcknowledgeLast()
    {
        if (_last < 0)
            return;
        var flags = _storage.AsSpan(_last + 6, 2);
        MemoryMarshal.Write(flags, (ushort)(MemoryMarshal.Read<ushort>(flags) | (ushort)NetlinkFlags.Ack));
    }

    /// <summary>Gives a batch of one message another sequence number, to send it again.</summary>
    internal void Resequence(uint sequence)
    {
        if (Count != 1)
            throw new InvalidOperationException("one message");
        FirstSequence = sequence;
        MemoryMarshal.Write(_storage.AsSpan(8), sequence);
    }

    internal void Commit(int start, int end)
    {
        if (start != Length)
            throw new InvalidOperationException("netlink messages do not nest and a batch has one writer at a time");
        _last = start;
        Length = end;
        Count++;
    }

    internal Span<byte> Grow(int used, int more)
    {
        var wanted = Math.Max((long)used + more, 2L * _storage.Length);
        if ((long)used + more > limit)
            throw new InvalidOperationException($"a netlink batch of more than {limit} bytes");
        var grown = GC.AllocateUninitializedArray<byte>((int)Math.Min(wanted, Math.Max(limit, used + more)));
        _storage.AsSpan(0, used).CopyTo(grown);
        _storage = grown;
        return grown;
    }
}
