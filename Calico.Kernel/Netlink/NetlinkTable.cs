namespace Calico.Kernel.Netlink;

/// <summary>What the tables of a namespace have in common: a socket, a reused batch and the count of writes.</summary>
internal abstract class NetlinkTable(NetlinkSocket socket) : IDisposable
{
    // A table of a pod lives for a few requests; a batch that needs more grows.
    private const int SmallBatch = 4 * 1024;

    protected NetlinkSocket Socket { get; } = socket;
    protected NetlinkBatch Batch { get; } = new(SmallBatch);

    /// <summary>What the kernel names as the origin of changes made here.</summary>
    public uint PortId => Socket.PortId;

    public long WriteCount { get; protected set; }

    public void Dispose()
    {
        Socket.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Sends the one modifying request in the batch and counts it if the kernel accepts.</summary>
    protected Errno TryWrite(out string? detail)
    {
        var answer = Socket.Request(Batch, out detail);
        if (answer == Errno.None)
            WriteCount++;
        return answer;
    }

    /// <summary>As <see cref="TryWrite"/>, where one other answer is as good as success. Returns whether it was accepted.</summary>
    protected bool Write(string operation, string subject, Errno orElse = Errno.None, Errno orElse2 = Errno.None)
    {
        var answer = TryWrite(out var detail);
        if (answer == Errno.None)
            return true;
        if (answer == orElse || answer == orElse2)
            return false;
        throw new KernelException(answer, operation, subject, detail);
    }

    /// <summary>Runs the dump request in the batch. Returns whether there is such a table at all.</summary>
    protected bool Dump<TSink>(ref TSink sink, string operation, string subject, Errno orEmpty = Errno.None)
        where TSink : INetlinkSink, allows ref struct
    {
        var answer = Socket.Dump(Batch, ref sink, out var detail);
        if (answer == Errno.None)
            return true;
        return answer == orEmpty ? false : throw new KernelException(answer, operation, subject, detail);
    }
}
