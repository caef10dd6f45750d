using Calico.Bench.Datastore;

switch (args)
{
    case ["datastore", ..]:
        return await DatastoreBench.RunAsync(args[1..]);
    case ["datastore-serve", var directory]:
        return await BenchBackend.ServeAsync(directory);
    default:
        Console.Error.WriteLine("usage: Calico.Bench datastore [DIRECTORY [SECONDS]]");
        return 64;
}
